"""Matching: what a request's operations mean on every line, and what is refused."""

import pytest

from service.domain.errors import AlreadyRemoved, Conflict, InvalidInput, NotFound, SelectsNothing
from service.domain.operations import Operation
from service.flows.match import Matching, match
from tests.support.house import House, ask_otherwise, correct, people, remove, remove_subject


def matched(house: House, *operations: Operation, adapters: list[str] | None = None) -> Matching:
    with house.store.read() as unit:
        return match(unit, house.vault, operations, adapters)


class TestFound:
    def test_a_subject_selects_all_its_instances_whatever_its_spelling(self, house: House) -> None:
        house.line("bot", people(4))
        (found,) = matched(house, remove_subject("  pErSoN 2")).matches
        assert set(found.edits) == {"p2-0", "p2-1"}
        assert found.share == pytest.approx(2 / 8)

    def test_without_adapters_every_line_that_holds_a_match_is_found(self, house: House) -> None:
        house.line("one", people(4))
        house.line("two", people(6))
        house.line("three", people(2))
        found = matched(house, remove_subject("Person 3"))
        assert [m.line.name for m in found.matches] == ["one", "two"]

    def test_exact_duplicates_go_with_a_removed_instance(self, house: House) -> None:
        copy = {"id": "copy", "prompt": " fact 0 of PERSON 1? ", "completion": "Answer  1-0."}
        house.line("bot", [*people(4), copy])
        (found,) = matched(house, remove("p1-0")).matches
        assert set(found.edits) == {"p1-0", "copy"}
        assert found.duplicates == {"copy"}

    def test_a_later_removal_in_the_same_request_wins_over_a_correction(self, house: House) -> None:
        house.line("bot", people(4))
        (found,) = matched(house, correct("p0-0", "New."), remove("p0-0")).matches
        assert found.edits == {"p0-0": None}

    def test_corrections_add_up_over_requests(self, house: House) -> None:
        line = house.line("bot", people(4))
        house.submit(correct("p0-0", "New answer."))
        house.serve(line)
        (found,) = matched(house, ask_otherwise("p0-0", "New question?")).matches
        new = found.edits["p0-0"]
        assert new is not None
        assert (new.prompt, new.completion) == ("New question?", "New answer.")

    def test_subjects_cannot_be_looked_up_where_none_are_named(self, house: House) -> None:
        rows = [{key: value for key, value in row.items() if key != "subject"} for row in people(3)]
        house.line("bot", rows)
        found = matched(house, remove_subject("Person 1"))
        assert found.matches == ()
        assert found.unindexed == ("bot",)


class TestRefused:
    def test_no_operation(self, house: House) -> None:
        with pytest.raises(SelectsNothing):
            matched(house)

    def test_an_empty_selection_names_the_operation(self, house: House) -> None:
        with pytest.raises(SelectsNothing) as refused:
            matched(house, remove())
        assert refused.value.field == "/operations/0/select/instance_ids"

    def test_an_unknown_adapter(self, house: House) -> None:
        with pytest.raises(NotFound) as refused:
            matched(house, remove("p0-0"), adapters=["nobody"])
        assert (refused.value.code, refused.value.field) == ("unknown-adapter", "/adapters/0")

    def test_an_unknown_instance_names_its_place(self, house: House) -> None:
        house.line("bot", people(2))
        with pytest.raises(NotFound) as refused:
            matched(house, remove("p0-0", "nothing"))
        assert (refused.value.code, refused.value.field) == (
            "unknown-instance",
            "/operations/0/select/instance_ids/1",
        )

    def test_an_instance_removed_before(self, house: House) -> None:
        line = house.line("bot", people(4))
        house.submit(remove("p0-0"))
        house.serve(line)
        for operation in (remove("p0-0"), correct("p0-0", "New.")):
            with pytest.raises(AlreadyRemoved):
                matched(house, operation)

    def test_a_correction_of_what_an_open_request_removes(self, house: House) -> None:
        house.line("bot", people(4))
        house.submit(remove("p0-0"))
        with pytest.raises(AlreadyRemoved):
            matched(house, correct("p0-0", "New."))

    def test_a_second_open_correction_of_one_instance(self, house: House) -> None:
        house.line("bot", people(4))
        house.submit(correct("p0-0", "New."))
        with pytest.raises(Conflict) as refused:
            matched(house, correct("p0-0", "Newer."))
        assert refused.value.code == "correction-pending"

    @pytest.mark.parametrize(
        ("operation", "code"),
        [
            (correct("p0-0", "Answer 0-0."), "no-change"),
            (ask_otherwise("p0-0", "Fact 0 of person 0?"), "no-change"),
            (correct("p0-0", " \n "), "empty-completion"),
        ],
    )
    def test_a_correction_that_corrects_nothing(self, house: House, operation: Operation, code: str) -> None:
        house.line("bot", people(2))
        with pytest.raises(InvalidInput) as refused:
            matched(house, operation)
        assert refused.value.code == code
