"""What is offered is what would be accepted: each verb in each state, tried out."""

from collections.abc import Callable
from datetime import UTC, timedelta

import pytest

from service.domain.decisions import RejectionCode
from service.domain.engine import EngineFailure, FailureClass
from service.domain.errors import Conflict
from service.domain.runs import Lane
from service.flows import decide
from service.flows.accept import accept
from service.flows.fail import fail
from service.flows.options import options
from service.store.database import Unit
from service.store.tables import UnlearningRequest
from tests.support.house import House, people, remove, remove_subject

OTHER = "key_other"


def awaiting_approval(house: House) -> str:
    house.line("bot", people(10), require_approval=True)
    return house.submit(remove("p1-0"))


def queued(house: House) -> str:
    house.line("bot", people(10))
    return house.submit(remove("p1-0"))


def running(house: House) -> str:
    line = house.line("bot", people(10))
    request = house.submit(remove("p1-0"))
    house.claim_queued(line)
    return request


def succeeded(house: House) -> str:
    line = house.line("bot", people(10))
    request = house.submit(remove("p1-0"))
    house.serve(line)
    return request


def awaiting_rebuild(house: House) -> str:
    line = house.line("bot", people(10), complete_at="E")
    request = house.submit(remove("p1-0"))
    house.serve(line)
    return request


def failed_its_measurements(house: House) -> str:
    """An imported line cannot be rebuilt, so a measured failure needs a person."""
    line = house.line("bot", people(10), recipe=None)
    request = house.submit(remove("p1-0"))
    house.serve(line, passed=False)
    return request


def failed_to_run(house: House) -> str:
    line = house.line("bot", people(10), default_strategy="rebuild")
    request = house.submit(remove("p1-0"))
    claimed = house.claim_queued(line, Lane.compact)
    with house.store.write() as unit:
        fail(unit, claimed, EngineFailure(FailureClass.permanent, "broken", "It broke."))
    return request


def held(house: House) -> str:
    request = queued(house)
    with house.store.write() as unit:
        decide.hold(unit, request, actor=OTHER, reason=None)
    return request


def rejected(house: House) -> str:
    request = awaiting_approval(house)
    with house.store.write() as unit:
        VERBS["reject"](unit, house, request)
    return request


def unmatched(house: House) -> str:
    house.line("bot", people(10))
    return house.submit(remove_subject("Nobody"))


def extended(house: House) -> str:
    request = queued(house)
    with house.store.write() as unit:
        VERBS["extend"](unit, house, request)
    return request


def overdue(house: House) -> str:
    request = queued(house)
    with house.store.write() as unit:
        unit.session.get_one(UnlearningRequest, request).due_at = unit.now - timedelta(days=1)
    return request


STATES = [awaiting_approval, queued, running, succeeded, awaiting_rebuild, failed_its_measurements, failed_to_run,
          held, rejected, unmatched, extended, overdue]  # fmt: skip


def reject(unit: Unit, house: House, request: str) -> object:
    return decide.reject(unit, house.vault, request, actor=OTHER, reason_code=RejectionCode.other, reason="no")


def extend(unit: Unit, _: House, request: str) -> object:
    later = unit.session.get_one(UnlearningRequest, request).due_at + timedelta(days=7)
    return decide.extend(unit, request, decide.Extension(later, "complex", UTC), actor=OTHER)


VERBS: dict[str, Callable[[Unit, House, str], object]] = {
    "approve": lambda unit, _, request: decide.approve(unit, request, actor=OTHER),
    "reject": reject,
    "cancel": lambda unit, _, request: decide.cancel(unit, request, actor=OTHER),
    "hold": lambda unit, _, request: decide.hold(unit, request, actor=OTHER, reason=None),
    "release": lambda unit, _, request: decide.release(unit, request, actor=OTHER),
    "extend": extend,
    "retry": lambda unit, _, request: decide.retry(unit, request, actor=OTHER),
    "accept": lambda unit, house, request: accept(unit, house.vault, request, actor=OTHER, reason="small"),
}


class Tried(Exception):
    """Takes back what a verb did."""


def is_possible(house: House, request: str, verb: str) -> bool:
    try:
        with house.store.write() as unit:
            VERBS[verb](unit, house, request)
            raise Tried
    except Tried:
        return True
    except Conflict:
        return False


@pytest.mark.parametrize("state", STATES, ids=lambda state: state.__name__)
def test_options_are_what_the_flows_allow(house: House, state: Callable[[House], str]) -> None:
    request = state(house)
    with house.store.read() as unit:
        told = options(unit, unit.session.get_one(UnlearningRequest, request))
    assert told == {verb for verb in VERBS if is_possible(house, request, verb)}
