"""Somebody has to hear of a request before it is too late, and once it is."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

from service.flows import decide
from service.flows.reconcile import reconcile
from tests.support.house import ACTOR, House, people, remove

DAY, SECOND = timedelta(days=1), timedelta(seconds=1)


def told(house: House) -> Sequence[tuple[str, str | None]]:
    with house.store.read() as unit:
        events = unit.feed.events(after=0, limit=1000)
    return [(e.type, e.request_id) for e in events if e.type in ("request.due_soon", "request.overdue")]


def alarms(house: House, **options: Any) -> int:
    return reconcile(house.store, house.blobs, **options).alarms


def counts(house: House) -> tuple[int, int]:
    """Due soon, overdue."""
    with house.store.read() as unit:
        return unit.requests.count_due_soon(unit.now, 7 * DAY), unit.requests.count_overdue(unit.now)


def test_before_the_due_date_and_after_it_once_each(house: House, later: Any) -> None:
    house.line("bot", people(6))
    due = datetime.now(UTC) + 30 * DAY
    request = house.submit(remove("p0-0"), due_at=due)
    later(22 * DAY)
    assert (alarms(house), counts(house)) == (0, (0, 0))
    later(23 * DAY + SECOND)
    assert (alarms(house), alarms(house)) == (1, 0)
    assert (told(house), counts(house)) == ([("request.due_soon", request)], (1, 0))
    later(30 * DAY + SECOND)
    assert (alarms(house), alarms(house)) == (1, 0)
    assert (told(house), counts(house)) == ([("request.due_soon", request), ("request.overdue", request)], (0, 1))
    with house.store.read() as unit:
        (event,) = [e for e in unit.feed.events(after=0, limit=1000) if e.type == "request.overdue"]
        (row,) = [r for r in unit.feed.audit_rows(0, 1000) if r.action == "request.overdue"]
    assert event.data == {"state": "queued", "due_at": due.isoformat()}
    assert row.data == {"request": request, "due_at": due.isoformat()}


def test_when_is_soon_is_a_setting(house: House, later: Any) -> None:
    house.line("bot", people(6))
    house.submit(remove("p0-0"), due_at=datetime.now(UTC) + 3 * DAY)
    assert alarms(house, due_soon=2 * DAY) == 0
    assert alarms(house, due_soon=4 * DAY) == 1


def test_what_is_late_already_is_not_due_soon(house: House) -> None:
    house.line("bot", people(6))
    request = house.submit(remove("p0-0"), received_at=datetime.now(UTC) - 40 * DAY)
    assert alarms(house) == 1
    assert told(house) == [("request.overdue", request)]


def test_not_of_what_is_answered_or_called_off(house: House, later: Any) -> None:
    line = house.line("bot", people(8))
    house.submit(remove("p0-0"))
    house.serve(line)
    called_off = house.submit(remove("p1-0"))
    with house.store.write() as unit:
        decide.cancel(unit, called_off, actor=ACTOR)
    later(40 * DAY)
    assert (alarms(house), told(house)) == (0, [])


def test_a_hold_stops_no_clock(house: House, later: Any) -> None:
    house.line("bot", people(6))
    request = house.submit(remove("p0-0"))
    with house.store.write() as unit:
        decide.hold(unit, request, actor=ACTOR, reason="litigation")
    later(40 * DAY)
    assert alarms(house) == 1


def test_an_extension_sets_the_alarm_again(house: House, later: Any) -> None:
    house.line("bot", people(6))
    due = datetime.now(UTC) + 3 * DAY
    request = house.submit(remove("p0-0"), due_at=due)
    assert alarms(house) == 1
    with house.store.write() as unit:
        decide.extend(unit, request, decide.Extension(due + 30 * DAY, "complex", UTC), actor=ACTOR)
    assert alarms(house) == 0
    later(29 * DAY)
    assert alarms(house) == 1
    assert told(house) == [("request.due_soon", request)] * 2


def test_of_many_reconcilers_one_tells(house: House) -> None:
    house.line("bot", people(6))
    late = [house.submit(remove(f"p{n}-0"), received_at=datetime.now(UTC) - 40 * DAY) for n in range(5)]
    with ThreadPoolExecutor(4) as pool:
        passes = [pool.submit(alarms, house) for _ in range(4)]
    assert sum(one.result() for one in passes) == 5
    assert sorted(told(house)) == [("request.overdue", request) for request in late]
