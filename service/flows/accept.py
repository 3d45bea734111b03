"""Let an outcome stand that falls short: a person answers for it, and says why.

What was published below the claim level that the policy asks for stands as it is. What measurably failed was never
published: the update is made again and published whatever it measures. No claim level rises by it.
"""

from collections.abc import Sequence

from service.domain.acceptance import Acceptance, Shortfall
from service.domain.adapters import Strategy
from service.domain.decisions import Verb
from service.domain.errors import Conflict
from service.domain.ids import new_id
from service.domain.states import RequestState, TargetState
from service.flows.certify import certify
from service.flows.decide import in_state
from service.flows.decisions import note
from service.flows.enqueue import enqueue_target
from service.flows.four_eyes import require_another
from service.flows.lookup import find_request
from service.flows.progress import move_targets
from service.flows.strategy import record_choice
from service.flows.vault import Vault
from service.store.database import Unit
from service.store.tables import Run, Target, UnlearningRequest


def accept(unit: Unit, vault: Vault, request_id: str, *, actor: str, reason: str) -> UnlearningRequest:
    """Accept what a request that needs attention came to, on every line where something was measured.

    Raises:
        IllegalTransition: the request does not need attention.
        Forbidden: who accepts it is who created it.
        Conflict: nothing was measured that could be accepted.
    """
    request = _locked(unit, request_id)
    require_another(unit, request, actor, verb="accept")
    stuck = [t for t in unit.targets.of_request(request_id) if t.state is TargetState.needs_attention]
    published = [target for target in stuck if target.version_id is not None]
    failed = [(t, run) for t in stuck if t not in published and (run := measured_failure(unit, t)) is not None]
    if not published and not failed:
        raise Conflict(
            "Nothing was measured, so there is nothing to accept.",
            fix="Retry or cancel the request, or retire the line.",
            code="nothing-to-accept",
            extra={"state": str(request.state)},
        )
    note(unit, request, Verb.accept, actor=actor, reason=reason)
    unit.audit(actor, "request.accepted", request=request_id)
    unit.emit("request.accepted", request_id=request_id)
    for target, run in failed:
        _publish_anyway(unit, target, run, actor=actor, reason=reason)
    _let_stand(unit, vault, published, actor=actor, reason=reason)
    return request


def is_accepted(members: Sequence[Target]) -> bool:
    """Whether a run is to publish whatever it measures: a person has accepted that for all that it serves."""
    return bool(members) and all(target.acceptance is not None for target in members)


def still_short(target: Target, *, passed: bool | None, reached: bool) -> dict[str, object] | None:
    """A target's acceptance, now that its update is measured; None if it passed and needs none after all."""
    if target.acceptance is None or (reached and passed is not False):
        return None
    return {**target.acceptance, "shortfall": _shortfall(passed)}


def _locked(unit: Unit, request_id: str) -> UnlearningRequest:
    """Lines before requests, as whoever publishes: so that none waits for the other."""
    find_request(unit, request_id)
    for line_id in sorted(target.line_id for target in unit.targets.of_request(request_id)):
        unit.lines.lock(line_id)
    unit.session.expire_all()
    return in_state(unit, request_id, RequestState.needs_attention, verb="accept")


def measured_failure(unit: Unit, target: Target) -> Run | None:
    """The newest run whose update of the target measurably failed."""
    tried = [target.run_id, *(choice["run"] for choice in reversed(target.choices or ()))]
    runs = [run for run in map(unit.runs.get, filter(None, tried)) if run is not None]
    return next((run for run in runs if (run.report or {}).get("passed") is False), None)


def _publish_anyway(unit: Unit, target: Target, run: Run, *, actor: str, reason: str) -> None:
    """Make the update again, apart from every other target, whose own outcome nobody has accepted."""
    target.acceptance = _acceptance(unit, actor, Shortfall.failed, reason)
    record_choice(target, Strategy.influence, f"A failure was accepted: {reason}", at=unit.now, run_id=run.id)
    target.run_id, target.batch = None, new_id("tgt")
    move_targets(unit, [target], TargetState.queued)
    enqueue_target(unit, target)


def _let_stand(unit: Unit, vault: Vault, published: Sequence[Target], *, actor: str, reason: str) -> None:
    """What was published is the answer; another certificate says who accepted it."""
    for target in published:
        passed = (unit.versions.get(str(target.version_id)).measurements or {}).get("passed")
        target.acceptance = _acceptance(unit, actor, _shortfall(passed), reason)
    move_targets(unit, published, TargetState.succeeded)
    for target in published:
        newest = unit.requests.newest_certificate(target.id)
        assert newest is not None, "what is published is certified"
        run = unit.runs.get(newest.run_id)
        assert run is not None, "runs are never deleted"
        line, version = unit.lines.get(target.line_id), unit.versions.get(newest.version_id)
        certify(unit, vault, line, run, version, target, final=newest.final)


def _acceptance(unit: Unit, actor: str, shortfall: Shortfall, reason: str) -> dict[str, object]:
    return Acceptance(by=actor, at=unit.now, shortfall=shortfall, reason=reason).model_dump(mode="json")


def _shortfall(passed: bool | None) -> Shortfall:
    return Shortfall.failed if passed is False else Shortfall.below_policy
