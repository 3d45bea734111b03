"""A version on trial, begun by policy or by hand: promoted or taken back by what is measured of it."""

from datetime import timedelta

import pytest

from service.domain.canary import Bound, CanaryRules, Verdict
from service.domain.errors import Conflict, NotFound, UndoesErasure
from service.flows.alias import set_alias
from service.flows.canary import abort, advance_canaries, observe, promote, set_canary
from service.flows.change_policy import update_policy
from service.flows.reconcile import reconcile
from service.flows.withdraw import withdraw
from service.store.tables import Alias, Event
from tests.support.house import ACTOR, House, people, remove

BOUNDED = {"hold_s": 0, "bounds": [{"metric": "error_rate", "at_most": 0.02}]}


def production(house: House, line: str) -> Alias | None:
    with house.store.read() as unit:
        return unit.lines.alias(line, "production")


def number(house: House, version_id: str | None) -> int | None:
    with house.store.read() as unit:
        version = unit.versions.find(version_id)
        return None if version is None else version.number


def stand(house: House, line: str) -> tuple[int | None, int | None]:
    """The versions that production points at and tries."""
    alias = production(house, line)
    assert alias is not None
    return number(house, alias.version_id), number(house, alias.canary_id)


def erase(house: House, line: str, instance: str = "p0-0") -> None:
    house.submit(remove(instance))
    house.serve(line)


def see(house: House, **values: float) -> Verdict:
    with house.store.write() as unit:
        return observe(unit, "bot", "production", values).verdict


def test_by_policy_a_new_version_is_tried_first(house: House) -> None:
    line = house.line("bot", people(8), promotion="canary")
    assert stand(house, line) == (1, None)
    erase(house, line)
    assert stand(house, line) == (1, 2)


def test_what_keeps_its_bounds_is_promoted(house: House) -> None:
    line = house.line("bot", people(8), promotion="canary", canary=BOUNDED)
    erase(house, line)
    reconcile(house.store, house.blobs)
    assert stand(house, line) == (1, 2)
    assert see(house, error_rate=0.01) is Verdict.promote
    assert stand(house, line) == (2, None)


def test_what_violates_a_bound_is_taken_back_and_says_why(house: House) -> None:
    line = house.line("bot", people(8), promotion="canary", canary=BOUNDED)
    erase(house, line)
    assert see(house, error_rate=0.5) is Verdict.abort
    assert stand(house, line) == (1, None)
    with house.store.read() as unit:
        (ended,) = (event for event in unit.feed.events(0, limit=1000) if event.type == "canary.ended")
    assert isinstance(ended, Event)
    assert ended.data["reasons"] == ["violated:error_rate"]


def test_without_bounds_it_is_held_and_then_promoted(house: House) -> None:
    line = house.line("bot", people(8), promotion="canary", canary={"hold_s": 3600})
    erase(house, line)
    with house.store.write() as unit:
        assert advance_canaries(unit) == 0
        alias = unit.lines.alias(line, "production")
        assert alias is not None
        assert alias.canary_since is not None
        alias.canary_since -= timedelta(hours=2)
    assert reconcile(house.store, house.blobs).canaries == 1
    assert stand(house, line) == (2, None)


def test_an_erasure_does_not_wait_for_measurements(house: House) -> None:
    line = house.line("bot", people(8), promotion="canary", canary=BOUNDED, grace_period_s=0)
    erase(house, line)
    repairs = reconcile(house.store, house.blobs)
    assert (repairs.canaries, repairs.withdrawn) == (1, 1)
    assert stand(house, line) == (2, None)


def test_a_newer_version_takes_the_trial_over(house: House) -> None:
    line = house.line("bot", people(8), promotion="canary", canary=BOUNDED)
    erase(house, line)
    erase(house, line, "p1-0")
    assert stand(house, line) == (1, 3)


def test_a_canary_that_must_go_itself_is_no_way_out(house: House) -> None:
    line = house.line("bot", people(8), promotion="canary", canary=BOUNDED, grace_period_s=0)
    erase(house, line)
    with house.store.write() as unit:
        update_policy(unit, "bot", {"promotion": "manual"}, actor=ACTOR)
    erase(house, line, "p1-0")
    reconcile(house.store, house.blobs)
    assert production(house, line) is None


def test_never_behind_an_erasure(house: House) -> None:
    line = house.line("bot", people(8))
    erase(house, line)
    with house.store.write() as unit, pytest.raises(UndoesErasure):
        set_canary(unit, "bot", "production", version="v1", rules=CanaryRules(), actor=ACTOR)


def test_by_hand_and_moving_the_alias_ends_it(house: House) -> None:
    rows = people(8)
    line = house.line("bot", rows, promotion="manual")
    house.train("bot", house.dataset(rows))
    with house.store.write() as unit:
        set_alias(unit, "bot", "production", version="v1", expected=None, actor=ACTOR)
        set_canary(unit, "bot", "production", version="v2", rules=CanaryRules(weight=0.5), actor=ACTOR)
    assert stand(house, line) == (1, 2)
    with house.store.write() as unit, pytest.raises(Conflict):
        withdraw(unit, "bot", ["v2"], actor=ACTOR)
    with house.store.write() as unit:
        abort(unit, "bot", "production", actor=ACTOR)
        set_canary(unit, "bot", "production", version="v2", rules=CanaryRules(), actor=ACTOR)
        promote(unit, "bot", "production", actor=ACTOR)
    assert stand(house, line) == (2, None)
    with house.store.write() as unit, pytest.raises(NotFound):
        promote(unit, "bot", "production", actor=ACTOR)
    with house.store.write() as unit, pytest.raises(Conflict):
        set_canary(unit, "bot", "production", version="v2", rules=CanaryRules(), actor=ACTOR)


def test_what_was_measured_of_one_canary_says_nothing_of_the_next(house: House) -> None:
    rules = CanaryRules(hold_s=3600, bounds=(Bound(metric="error_rate", at_most=0.02),))
    line = house.line("bot", people(8), promotion="canary", canary=rules.model_dump())
    erase(house, line)
    assert see(house, error_rate=0.01) is Verdict.wait
    erase(house, line, "p1-0")
    alias = production(house, line)
    assert alias is not None
    assert not alias.canary_measured
