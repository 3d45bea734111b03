"""What must hold whatever died, slept or ran full: `assert_nothing_lost`."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from sqlalchemy import select

from service.domain.runs import RunKind
from service.domain.states import (
    NEVER_SERVED,
    TERMINAL_REQUEST_STATES,
    Outcome,
    RequestState,
    RunState,
    TargetState,
    VersionState,
)
from service.evidence.audit import Entry, verify
from service.flows.fan_out import BATCH, fan_out
from service.store.database import Unit
from service.store.repositories.feed import audit_payload
from service.store.tables import AuditRow, Certificate, Event, Line, Run, UnlearningRequest, Version, WebhookDelivery
from tests.support.house import House

LIVE = (RunState.queued, RunState.running)
PAGE = 10_000


def assert_nothing_lost(house: House, receipts: Mapping[str, object], *, settled: bool = True) -> None:
    """Check the whole database against what was promised.

    Args:
        receipts: by request, the receipt that its client was given.
        settled: whether everything has come to its end; in between, requests may be open and runs may be running.
    """
    tell_every_endpoint(house)
    with house.store.read() as unit:
        audit = list(audit_of(unit))
        check_audit(audit)
        told = told_of(unit, audit)
        for request_id, receipt in receipts.items():
            request = unit.requests.get(request_id)
            assert request is not None, "an accepted request is gone"
            assert request.receipt == receipt, "its client was told something else"
            check_request(unit, request, told, settled=settled)
        for line in unit.lines.list():
            check_line(unit, line)
        for run in unit.runs.list(after=None, limit=PAGE).items:
            check_run(unit, run, settled=settled)


@dataclass(frozen=True)
class Told:
    """What was told of requests. `actions`, `events`: of each one; `certified`: its targets that have a certificate;
    `sent`: of each endpoint, the events it is told of."""

    actions: Mapping[str, Sequence[str]]
    events: Mapping[str, Sequence[Event]]
    certified: set[str]
    sent: Mapping[str, set[int | None]]


def told_of(unit: Unit, audit: Iterable[AuditRow]) -> Told:
    """Read once for all requests, of which there may be thousands."""
    actions, events = defaultdict(list), defaultdict(list)
    for row in audit:
        if "request" in row.data:
            actions[row.data["request"]].append(row.action)
    of_requests = select(Event).where(Event.type.in_(["request.created", "request.state"])).order_by(Event.seq)
    for event in unit.session.scalars(of_requests):
        events[str(event.request_id)].append(event)
    certified = set(unit.session.scalars(select(Certificate.target_id)))
    endpoints = unit.webhooks.endpoints(after=None, limit=100).items
    sent = {endpoint.id: set(_sent(unit, endpoint.id)) for endpoint in endpoints}
    return Told(actions, events, certified, sent)


def _sent(unit: Unit, endpoint_id: str) -> Iterable[int | None]:
    return unit.session.scalars(select(WebhookDelivery.event_seq).where(WebhookDelivery.endpoint_id == endpoint_id))


def audit_of(unit: Unit) -> Iterator[AuditRow]:
    """The whole chain."""
    rows = unit.feed.audit_rows(0, PAGE)
    while rows:
        yield from rows
        rows = unit.feed.audit_rows(rows[-1].seq, PAGE)


def check_request(unit: Unit, request: UnlearningRequest, told: Told, *, settled: bool) -> None:
    actions = told.actions[request.id]
    assert actions.count("request.created") == 1, "filed other than once"
    events = told.events[request.id]
    states = [event.data["state"] for event in events]
    assert states[-1] == request.state, "the feed ends in another state"
    assert all(a != b for a, b in pairwise(states)), "a state was told twice"
    targets = unit.targets.of_request(request.id)
    assert {t.run_id is not None for t in targets if t.state is TargetState.running} <= {True}
    if settled:
        assert request.state in TERMINAL_REQUEST_STATES, (request.state, request.failure)
    if request.state not in TERMINAL_REQUEST_STATES:
        return
    assert request.finished_at is not None
    assert not request.on_hold, "a hold outlived its request"
    if request.outcome is Outcome.no_match:
        assert not targets
    for target in targets:
        assert (target.id in told.certified) == (target.state not in NEVER_SERVED), (target.state, "certified")
    if request.state is not RequestState.succeeded:
        verbs = {"request.canceled", "request.rejected"}
        is_retired = any(unit.lines.get(target.line_id).retired_at is not None for target in targets)
        assert is_retired or verbs & set(actions), "it ended by nobody's decision"
    finals = {event.seq for event in events if event.data["state"] == request.state}
    assert all(finals <= sent for sent in told.sent.values()), "nobody is told of its end"


def check_line(unit: Unit, line: Line) -> None:
    versions = unit.versions.of_line(line.id)
    entries = unit.ledger.of_line(line.id)
    assert [entry.seq for entry in entries] == list(range(1, line.ledger_head + 1)), "the ledger has gaps"
    assert [version.number for version in versions] == list(range(1, line.next_number)), "a version is missing"
    live = [v for v in versions if v.state in (VersionState.ready, VersionState.quarantined, VersionState.withdrawn)]
    for what, count in Counter((v.anchor_id, v.ledger_seq) for v in live).items():
        # A request may come to what another one has removed just before it: it is answered, and adds nothing.
        same = {v.run_id for v in live if (v.anchor_id, v.ledger_seq) == what}
        answered = [run_id for run_id in same if run_id is not None and unit.targets.of_run(run_id)]
        assert count == 1 or count == len(answered), f"{count} versions of one ledger state: {what}"
    for target_id, count in Counter((e.target_id, e.dataset_id, e.instance_id) for e in entries).items():
        assert count == 1, f"entered {count} times: {target_id}"
    for target_id in {entry.target_id for entry in entries}:
        edits = {edit.instance_id for edit in unit.targets.edits([target_id])}
        mine = {entry.instance_id for entry in entries if entry.target_id == target_id}
        removed = {entry.instance_id for entry in entries if entry.text_id is None}
        assert mine <= edits <= mine | removed, "part of a target is in the ledger"
    check_anchor(unit, line, versions)
    for target in unit.targets.in_state(line.id, (TargetState.succeeded, TargetState.awaiting_rebuild)):
        assert target.version_id in {version.id for version in versions}


def check_anchor(unit: Unit, line: Line, versions: Iterable[Version]) -> None:
    """What is served covers the whole ledger: the anchor what is baked into it, the head the rest."""
    if line.anchor_id is None or line.retired_at is not None:
        return
    head, anchor = unit.versions.get(str(line.head_id)), unit.versions.get(line.anchor_id)
    assert head.ledger_seq == line.ledger_head, "the head does not cover the ledger"
    assert head.anchor_id == anchor.id, "the tail was not re-solved on the new anchor"
    tail = [entry.seq for entry in unit.ledger.of_line(line.id) if entry.baked_id is None]
    assert all(seq > anchor.ledger_seq for seq in tail), "an entry is neither baked nor after the anchor"
    if tail:
        assert head.id != anchor.id, "the anchor is served though it remembers"
    alias = unit.lines.alias(line.id, "production")
    if alias is not None:
        served = unit.versions.get(alias.version_id)
        assert served.state is VersionState.ready, served.state


def check_run(unit: Unit, run: Run, *, settled: bool) -> None:
    if settled:
        assert run.state not in LIVE or run.kind is RunKind.out_of_fold, (run.kind, run.state)
    made = select(Version.blob_prefix).where(Version.run_id == run.id, Version.blob_prefix.is_not(None))
    for prefix in map(str, unit.session.scalars(made)):
        if prefix.startswith(f"runs/{run.id}/"):
            assert prefix.split("/")[2] == str(run.fence), "a stale claim published"
    if run.state is RunState.succeeded:
        assert run.lease_until is None


def check_audit(rows: Iterable[AuditRow]) -> None:
    entries = [Entry(row.seq, audit_payload(row), row.hash) for row in rows]
    verify(entries)
    fences: dict[str, int] = {}
    for row in rows:
        if row.action == "run.claimed":
            assert row.data["fence"] > fences.get(row.data["run"], 0), "a fence was given twice"
            fences[row.data["run"]] = row.data["fence"]


def tell_every_endpoint(house: House) -> None:
    """Make the deliveries that a sender would make."""
    with house.store.read() as unit:
        endpoints = unit.webhooks.endpoints(after=None, limit=100).items
    for endpoint in endpoints:
        looked = BATCH
        while looked == BATCH:
            with house.store.write() as unit:
                looked = fan_out(unit, endpoint.id)
