"""When runs begin: a clock that the test sets, what the relay tells workers, what they may take."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from service.domain.engine import EngineFailure, FailureClass
from service.domain.runs import Lane
from service.flows.change_policy import update_policy
from service.flows.compact import compact_due, rebuild_now
from service.store.tables import Run
from tests.support.house import ACTOR, House

MORNING = datetime(2026, 3, 2, 6, tzinfo=UTC)
NOON, EVENING = MORNING.replace(hour=12), MORNING.replace(hour=20)
QUIET = {"from": "08:00", "to": "20:00", "zone": "UTC"}
TRANSIENT = EngineFailure(FailureClass.transient, "device-lost", "The device is gone.")
Clock = Callable[[datetime], None]


def after(since: datetime = MORNING, **time: float) -> datetime:
    return since + timedelta(**time)


def queued(house: House, line: str, lane: Lane = Lane.answer) -> Run:
    with house.store.read() as unit:
        run = unit.runs.queued(line, lane)
        assert run is not None
        return run


def heard(house: House) -> list[str]:
    """The runs that the relay tells workers of now. It sends their hints."""
    with house.store.write() as unit:
        rows = unit.runs.unsent(100, unit.now)
        unit.runs.sent([row.id for row in rows], unit.now)
        return [row.run_id for row in rows]


def change(house: House, **policy: object) -> None:
    with house.store.write() as unit:
        update_policy(unit, "bot", policy, actor=ACTOR)


def compact(house: House) -> int:
    with house.store.write() as unit:
        return compact_due(unit)


def rebuild(house: House) -> str:
    with house.store.write() as unit:
        return rebuild_now(unit, "bot", actor=ACTOR).id


def can_claim(house: House, run: Run) -> bool:
    return house.claim(run.id) is not None
