"""A request and a rebuild's member may be about the same instance: the new anchor and its ledger still agree."""

from collections.abc import Mapping

import pytest

from service.domain.adapters import ClaimLevel, Strategy
from service.domain.runs import Lane
from service.domain.states import RequestState
from service.flows import decide
from service.flows.assemble import run_edits, training_set
from service.flows.claim import Claim
from tests.support.house import ACTOR, House, correct, people, remove


@pytest.fixture
def line(house: House) -> str:
    return house.line("bot", people(8))


def trained_on(house: House, line_id: str) -> Mapping[str, str]:
    """Completions by instance, as the line's ledger says that its anchor was trained on them."""
    with house.store.read() as unit:
        line = unit.lines.get(line_id)
        data = training_set(unit, house.vault, line, unit.versions.get(str(line.anchor_id)), ())
    return {example.id: str(example.content.completion) for example in data.examples}


def tail(house: House, line_id: str) -> set[tuple[str, bool]]:
    """Instances that are still solved for, and whether they are removed."""
    with house.store.read() as unit:
        return {(e.instance_id, e.text_id is None) for e in unit.ledger.of_line(line_id) if e.baked_id is None}


def asked(house: House, claimed: Claim) -> set[str]:
    with house.store.read() as unit:
        return {edit.instance_id for edit in run_edits(unit, house.vault, claimed)}


def take_over(house: House, rebuild: Claim) -> None:
    """The rebuild publishes, with what was answered meanwhile."""
    moved = house.rebuild(rebuild)
    assert moved is not None
    assert house.rebuild(rebuild, house.staged_answer(rebuild, solved=moved.head)) is None


def rebuild(house: House, line: str) -> None:
    assert house.rebuild(house.begin_rebuild(line)) is None


class TestRemovedWhileItsCorrectionIsTrained:
    def test_updates_remove_the_correction_that_the_anchor_knows_until_it_is_rebuilt(
        self, house: House, line: str
    ) -> None:
        house.submit(correct("p2-0", "Corrected."), strategy=Strategy.rebuild)
        claimed = house.claim_queued(line, Lane.compact)
        house.submit(remove("p2-0"))
        house.serve(line)
        take_over(house, claimed)
        assert trained_on(house, line)["p2-0"] == "Corrected."
        assert tail(house, line) == {("p2-0", True)}
        rebuild(house, line)
        assert "p2-0" not in trained_on(house, line)
        assert len(trained_on(house, line)) == 15

    def test_nobody_can_read_it_or_bring_it_back_afterwards(self, house: House, line: str) -> None:
        correction = house.submit(correct("p2-0", "Corrected."), strategy=Strategy.rebuild)
        claimed = house.claim_queued(line, Lane.compact)
        house.submit(remove("p2-0"))
        house.serve(line)
        take_over(house, claimed)
        rebuild(house, line)
        with house.store.read() as unit:
            (edit,) = unit.targets.edits([house.targets(correction)[0].id])
            assert unit.texts.get(str(edit.text_id)).wrapped_key is None
            assert edit.instance_id.startswith("erased:")
        again = house.dataset([{"id": "x", "prompt": "Fact 0 of person 2?", "completion": "Corrected."}])
        with house.store.read() as unit:
            assert unit.datasets.suppressed_count(again, line) == 1


class TestCorrectedWhileItsRemovalIsTrained:
    def test_the_correction_has_nothing_left_to_correct(self, house: House, line: str) -> None:
        correction = house.submit(correct("p2-0", "Corrected."))
        removal = house.submit(remove("p2-0"), strategy=Strategy.rebuild)
        claimed = house.claim_queued(line, Lane.compact)
        house.serve(line)
        take_over(house, claimed)
        assert tail(house, line) == set()
        assert {house.targets(request)[0].claim_level for request in (correction, removal)} == {ClaimLevel.exact}
        house.submit(remove("p3-0"))
        assert asked(house, house.claim_queued(line)) == {"p3-0"}

    def test_its_text_is_destroyed_with_the_instance(self, house: House, line: str) -> None:
        correction = house.submit(correct("p2-0", "Corrected."))
        house.submit(remove("p2-0"), strategy=Strategy.rebuild)
        claimed = house.claim_queued(line, Lane.compact)
        house.serve(line)
        take_over(house, claimed)
        with house.store.read() as unit:
            (edit,) = unit.targets.edits([house.targets(correction)[0].id])
            assert unit.texts.get(str(edit.text_id)).wrapped_key is None


def test_what_another_request_removed_meanwhile_is_solved_only_as_far_as_the_anchor_knows_it(
    house: House, line: str
) -> None:
    first = house.submit(remove("p2-0"), strategy=Strategy.rebuild)
    claimed = house.claim_queued(line, Lane.compact)
    second = house.submit(remove("p2-0", "p3-0"))
    house.serve(line)
    take_over(house, claimed)
    assert "p2-0" not in trained_on(house, line)
    assert tail(house, line) == {("p3-0", True)}
    assert house.targets(first)[0].claim_level is ClaimLevel.exact
    assert house.targets(second)[0].claim_level is ClaimLevel.measured
    with house.store.read() as unit:
        (entry,) = [e for e in unit.ledger.of_line(line) if e.target_id == house.targets(first)[0].id]
        row = unit.datasets.some(entry.dataset_id, [entry.instance_id])[entry.instance_id]
        assert unit.texts.get(row.text_id).wrapped_key is None


@pytest.mark.parametrize("late", [remove("p2-0"), correct("p2-0", "Corrected.")], ids=["removal", "correction"])
def test_what_was_held_while_its_instance_was_erased_is_answered_without_it(
    house: House, line: str, late: object
) -> None:
    held, other = house.submit(late), house.submit(remove("p3-0"))  # type: ignore[arg-type]
    with house.store.write() as unit:
        decide.hold(unit, held, actor=ACTOR, reason=None)
    house.submit(remove("p2-0"), strategy=Strategy.rebuild)
    house.rebuild(house.claim_queued(line, Lane.compact))
    with house.store.write() as unit:
        decide.release(unit, held, actor=ACTOR)
    claimed = house.claim_queued(line)
    assert asked(house, claimed) == {"p3-0"}
    house.answer(claimed)
    assert {house.request(request).state for request in (held, other)} == {RequestState.succeeded}
    assert tail(house, line) == {("p3-0", True)}
