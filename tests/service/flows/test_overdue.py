"""Somebody has to hear of it when data outlive their deadline."""

from datetime import datetime, timedelta
from typing import Any

from service.domain.runs import Lane
from service.flows import decide
from service.flows.reconcile import reconcile
from tests.support.house import ACTOR, House, people, remove

ALARM = "shredding.overdue"


def told(house: House) -> list[tuple[str, dict[str, Any]]]:
    with house.store.read() as unit:
        events, rows = unit.feed.events(after=0, limit=1000), unit.feed.audit_rows(0, 1000)
    return [
        *(("event", {**e.data, "adapter": e.adapter, "request": e.request_id}) for e in events if e.type == ALARM),
        *(("audit", row.data) for row in rows if row.action == ALARM),
    ]


def overdue(house: House) -> int:
    with house.store.read() as unit:
        return unit.targets.count_overdue(unit.now)


def past(house: House, request: str, later: Any) -> datetime:
    """Wait until the deadline is over; returns it."""
    shred_by = house.targets(request)[0].shred_by
    with house.store.read() as unit:
        wait = shred_by - unit.now
    later(wait + timedelta(seconds=1))
    return shred_by


def test_it_is_told_once_and_counted_until_it_is_over(house: House, later: Any) -> None:
    line = house.line("bot", people(6))
    request = house.submit(remove("p0-0"))
    house.serve(line)
    reconcile(house.store, house.blobs)
    assert (told(house), overdue(house)) == ([], 0)
    shred_by = past(house, request, later)
    assert reconcile(house.store, house.blobs).overdue == 1
    assert reconcile(house.store, house.blobs).overdue == 0
    said = {"adapter": "bot", "request": request, "shred_by": shred_by.isoformat()}
    assert told(house) == [("event", said), ("audit", said)]
    assert overdue(house) == 1
    house.rebuild(house.claim_queued(line, Lane.compact))
    assert overdue(house) == 0


def test_so_is_a_request_that_nobody_answered(house: House, later: Any) -> None:
    house.line("bot", people(6))
    request = house.submit(remove("p0-0"))
    past(house, request, later)
    assert reconcile(house.store, house.blobs).overdue == 1


def test_but_not_one_that_is_held_or_called_off(house: House, later: Any) -> None:
    house.line("bot", people(6))
    held, canceled = house.submit(remove("p0-0")), house.submit(remove("p1-0"))
    with house.store.write() as unit:
        decide.cancel(unit, canceled, actor=ACTOR)
        decide.hold(unit, held, actor=ACTOR, reason="litigation")
    past(house, held, later)
    assert reconcile(house.store, house.blobs).overdue == 0
    assert overdue(house) == 0
