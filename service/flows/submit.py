"""Accept an unlearning request: one transaction makes the promise, everything else only keeps it."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo

from service.domain.adapters import Policy, Strategy
from service.domain.clocks import ack_due_at, due_at
from service.domain.errors import Conflict, InvalidInput
from service.domain.ids import new_id
from service.domain.operations import Operation, Remove
from service.domain.states import Outcome, RequestState, TargetState, request_state
from service.evidence.statements import receipt
from service.flows import texts
from service.flows.enqueue import enqueue_target
from service.flows.erase import forget_request
from service.flows.match import LineMatch, match
from service.flows.strategy import choose, policy_of, record_choice
from service.flows.token_budget import check_tokens
from service.flows.vault import Vault
from service.store.database import Unit
from service.store.tables import OperationRow, Target, UnlearningRequest

# How far a client's clock may be ahead of ours.
CLOCK_SKEW = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Submission:
    """What a client asks for. `adapters` None: every line that holds a match.

    `urgent`: it waits neither for others nor for quiet hours to end. `within`: the lines that the caller can see; None
    for all. `zone`: where the legal clock's days are counted.
    """

    operations: tuple[Operation, ...]
    adapters: tuple[str, ...] | None = None
    strategy: Strategy | None = None
    client_reference: str | None = None
    regulation: str | None = None
    received_at: datetime | None = None
    due_at: datetime | None = None
    urgent: bool = False
    within: frozenset[str] | None = None
    zone: tzinfo = UTC


def submit(unit: Unit, vault: Vault, command: Submission, *, actor: str, body_hash: str) -> UnlearningRequest:
    """Record the request, its targets, its receipt, and the runs that will serve it.

    Raises:
        Conflict: another request has this client reference.
        InvalidInput, NotFound, AlreadyRemoved: see `match` and `check_tokens`.
    """
    _check_dates(unit, command)
    _check_reference(unit, command.client_reference)
    matching = match(unit, vault, command.operations, command.adapters, within=command.within)
    for found in matching.matches:
        check_tokens(found)
    request = _request(unit, vault, command, actor, body_hash)
    unit.requests.add(request)
    _record_operations(unit, vault, request.id, command.operations)
    targets = [add_target(unit, vault, request, found, command.strategy) for found in matching.matches]
    _settle(unit, request, targets, unindexed=matching.unindexed)
    unit.audit(actor, "request.created", request=request.id, targets=len(targets), body_hash=body_hash)
    unit.emit("request.created", request_id=request.id, state=request.state)
    return request


def _check_dates(unit: Unit, command: Submission) -> None:
    received = command.received_at or unit.now
    if received > unit.now + CLOCK_SKEW:
        raise InvalidInput(
            "The request was received in the future.",
            field="/received_at",
            fix="Give the time at which you received it.",
            code="received-in-future",
        )
    if command.due_at is not None and command.due_at < received:
        raise InvalidInput(
            "The request is due before it was received.",
            field="/due_at",
            fix="Give a later date.",
            code="due-too-early",
        )


def _check_reference(unit: Unit, reference: str | None) -> None:
    known = None if reference is None else unit.requests.by_reference(reference)
    if known is not None:
        raise Conflict(
            "Another request has this client reference.",
            field="/client_reference",
            fix="Read that request instead of sending it again.",
            code="client-reference-taken",
            extra={"request": known.id},
        )


def due_date(unit: Unit, command: Submission) -> datetime:
    """When the request is to be answered: as it says, else by the regulation's clock."""
    return command.due_at or due_at(command.received_at or unit.now, command.regulation, command.zone)


def _request(unit: Unit, vault: Vault, command: Submission, actor: str, body_hash: str) -> UnlearningRequest:
    received = command.received_at or unit.now
    counts: dict[str, int] = dict(Counter(operation.type for operation in command.operations))
    request = UnlearningRequest(
        id=new_id("req"),
        state=RequestState.received,
        on_hold=False,
        strategy=command.strategy,
        client_reference=command.client_reference,
        regulation=command.regulation,
        received_at=received,
        ack_due_at=ack_due_at(received, command.regulation, command.zone),
        due_at=due_date(unit, command),
        created_at=unit.now,
        created_by=actor,
        every_line=command.adapters is None and command.within is None,
        urgent=command.urgent,
        operation_counts=counts,
        receipt={},
    )
    statement = receipt(
        request_id=request.id,
        issued_at=unit.now,
        received_at=received,
        due_at=request.due_at,
        operation_counts=counts,
        body_hash=body_hash,
    )
    request.receipt = vault.signer(unit).envelope(statement)
    return request


def _record_operations(unit: Unit, vault: Vault, request_id: str, operations: Sequence[Operation]) -> None:
    sealed = [texts.sealed_row(vault, operation.model_dump_json().encode()) for operation in operations]
    unit.texts.add(sealed)
    rows, everybody = [], list[str]()
    for position, (operation, text) in enumerate(zip(operations, sealed, strict=True)):
        identities = operation.select.identities if isinstance(operation, Remove) else ()
        lookups = [name for one in identities for name in vault.hashes.subject_lookups(one)]
        everybody += lookups
        rows.append(
            OperationRow(
                request_id=request_id,
                position=position,
                type=operation.type,
                text_id=text["id"],
                subject_hash=next(iter(lookups), None),
            )
        )
    unit.requests.add(*rows)
    unit.requests.name_subjects(request_id, everybody)


def add_target(
    unit: Unit, vault: Vault, request: UnlearningRequest, found: LineMatch, wish: Strategy | None
) -> Target:
    """What the request asks of one line, and the run that will serve it. `wish`: the strategy asked for."""
    choice, policy = choose(unit, found, wish), policy_of(found.line)
    target = Target(
        id=new_id("tgt"),
        request_id=request.id,
        line_id=found.line.id,
        state=TargetState.awaiting_approval if choice.needs_approval else TargetState.queued,
        batch="",
        instance_count=len(found.edits),
        shred_by=shred_date(unit, policy, request.due_at),
        created_at=unit.now,
    )
    record_choice(target, choice.strategy, choice.reason, at=unit.now)
    unit.targets.add(target, _edits(unit, vault, target.id, found))
    if target.state is TargetState.queued:
        enqueue_target(unit, target)
    return target


def shred_date(unit: Unit, policy: Policy, due: datetime) -> datetime:
    """When the data of a request that comes in now are destroyed at the latest."""
    return min(due, unit.now + timedelta(seconds=policy.shred_within_s))


def _edits(unit: Unit, vault: Vault, target_id: str, found: LineMatch) -> list[dict[str, object]]:
    return [
        {
            "target_id": target_id,
            "instance_id": instance_id,
            "dataset_id": found.dataset.id,
            "text_id": None if new is None else texts.seal(unit, vault, new.to_bytes()),
        }
        for instance_id, new in sorted(found.edits.items())
    ]


def _settle(unit: Unit, request: UnlearningRequest, targets: Sequence[Target], *, unindexed: Sequence[str]) -> None:
    """The request's first state. Nothing matched: an answer where subjects are indexed, else work for a person."""
    if targets:
        request.state = request_state(target.state for target in targets)
        return
    if unindexed:
        request.state = RequestState.needs_attention
        request.failure = {
            "code": "subjects-not-indexed",
            "detail": "The datasets name no subjects, so nobody can tell whether they hold this one.",
            "adapters": list(unindexed),
        }
        return
    request.state, request.outcome, request.finished_at = RequestState.succeeded, Outcome.no_match, unit.now
    forget_request(unit, request.id)
