"""File requests again that were answered before the database was taken back to a time before them.

The journal knows which instances a request removed, by keyed hash, and nothing of what it said. So removals are made
again without anybody's help, and corrections wait for somebody who knows the text.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from service.domain.adapters import Strategy
from service.domain.operations import Remove, Selection
from service.domain.states import RequestState, TargetState, request_state
from service.flows import texts
from service.flows.decide import release
from service.flows.enqueue import enqueue_target
from service.flows.match import LineMatch
from service.flows.progress import move_targets
from service.flows.submit import add_target
from service.flows.training_data import dataset_of, edited, present, source_version
from service.flows.vault import Vault
from service.store.database import Unit
from service.store.tables import OperationRow, Target, UnlearningRequest
from service.store.tables.base import Json

LOST = "lost-in-restore"
_CORRECTION_LOST = {
    "code": LOST,
    "detail": "The database was restored from before this request, and the text of its corrections is lost: file them "
    "again.",
}
_NOTHING_LEFT = {
    "code": LOST,
    "detail": "The database was restored from before this request, and what it was about is not there: see whether "
    "it has to be filed again.",
}


def refile(unit: Unit, vault: Vault, answers: Sequence[Json], *, to_rebuild: Collection[str]) -> list[str]:
    """File what was `answered` again, as far as it is lost; returns the requests that had to be made anew.

    Args:
        to_rebuild: lines that no update can be solved on any more.
    """
    # By line: a request that was filed again before, after another restore, was answered more than once.
    by_request: dict[str, dict[str, Json]] = {}
    for fact in answers:
        by_request.setdefault(fact["request"]["id"], {})[fact["line"]] = fact
    made = []
    for request_id, by_line in by_request.items():
        request = unit.requests.get(request_id)
        if request is None:
            _file(unit, vault, list(by_line.values()), to_rebuild)
            made.append(request_id)
        else:
            _let_go_on(unit, request, by_line)
    return made


def _let_go_on(unit: Unit, request: UnlearningRequest, lines: Collection[str]) -> None:
    """It was carried out there, so it was approved, and not on hold; what is left of it elsewhere may be."""
    targets = unit.targets.of_request(request.id)
    answered = [target for target in targets if target.line_id in lines]
    _queue(unit, [target for target in answered if target.state is TargetState.awaiting_approval])
    if request.on_hold and len(answered) == len(targets):
        release(unit, request.id, actor="lethe")


def _file(unit: Unit, vault: Vault, facts: Sequence[Json], to_rebuild: Collection[str]) -> None:
    request = _request(unit, facts[0]["request"])
    matches = [found for fact in facts if (found := _match(unit, vault, fact)) is not None]
    _record_operation(unit, vault, request, matches, {name for fact in facts for name in fact["subjects"]})
    targets = [
        add_target(unit, vault, request, found, Strategy.rebuild if found.line.id in to_rebuild else request.strategy)
        for found in matches
    ]
    if targets:
        request.state = request_state(target.state for target in targets)
        _queue(unit, [target for target in targets if target.state is TargetState.awaiting_approval])
        _wait_for_corrections(unit, targets, facts)
    else:
        has_correction = any(not edit["removed"] for fact in facts for edit in fact["edits"])
        request.state = RequestState.needs_attention
        request.failure = dict(_CORRECTION_LOST if has_correction else _NOTHING_LEFT)
    unit.audit("lethe", "request.restored", request=request.id, targets=len(targets))
    unit.emit("request.restored", request_id=request.id, state=request.state)


def _request(unit: Unit, told: Mapping[str, object]) -> UnlearningRequest:
    """The request as it was, but urgent, for nothing is served until it is answered.

    Its client reference, which may name somebody, is not in the journal.
    """
    moments = {
        name: datetime.fromisoformat(str(told[name]))
        for name in ("received_at", "ack_due_at", "due_at", "created_at")
        if told[name] is not None
    }
    request = UnlearningRequest(
        id=told["id"],
        state=RequestState.received,
        on_hold=False,
        strategy=None if told["strategy"] is None else Strategy(str(told["strategy"])),
        regulation=told["regulation"],
        created_by=told["created_by"],
        every_line=told["every_line"],
        urgent=True,
        operation_counts=told["operation_counts"],
        receipt=told["receipt"],
        **moments,
    )
    unit.requests.add(request)
    return request


def _match(unit: Unit, vault: Vault, fact: Json) -> LineMatch | None:
    """What the request removes of what a line is trained on now."""
    line = unit.lines.find(fact["line"])
    version = None if line is None or line.retired_at is not None else source_version(unit, line)
    if line is None or version is None:
        return None
    dataset = dataset_of(unit, version)
    wanted = {edit["instance"] for edit in fact["edits"] if edit["removed"] and edit["dataset"] == dataset.id}
    rows = present(unit, dataset.id, edited(unit.ledger.of_line(line.id), dataset.id))
    names = [row.instance_id for row in rows if vault.hashes.instance(dataset.id, row.instance_id) in wanted]
    return LineMatch(line, version, dataset, len(rows), edits=dict.fromkeys(names)) if names else None


def _record_operation(
    unit: Unit, vault: Vault, request: UnlearningRequest, matches: Sequence[LineMatch], subjects: Collection[str]
) -> None:
    """One removal of all that was found, and of the people whom the request was about."""
    names = sorted({name for found in matches for name in found.edits})
    operation = Remove(type="remove", select=Selection(instance_ids=tuple(names)))
    row = OperationRow(
        request_id=request.id,
        position=0,
        type=operation.type,
        text_id=texts.seal(unit, vault, operation.model_dump_json().encode()),
        subject_hash=min(subjects, default=None),
    )
    unit.requests.add(row)
    unit.requests.name_subjects(request.id, sorted(subjects))


def _queue(unit: Unit, targets: Sequence[Target]) -> None:
    move_targets(unit, targets, TargetState.queued)
    for target in targets:
        enqueue_target(unit, target)


def _wait_for_corrections(unit: Unit, targets: Sequence[Target], facts: Sequence[Json]) -> None:
    corrected = {fact["line"] for fact in facts if any(not edit["removed"] for edit in fact["edits"])}
    short = [target for target in targets if target.line_id in corrected]
    move_targets(unit, short, TargetState.needs_attention, failure=dict(_CORRECTION_LOST))
