"""Matching: what a request's operations mean on every line, and what is refused."""

import hashlib
from typing import Any

import pytest

from service.domain.errors import AlreadyRemoved, Conflict, InvalidInput, NotFound, SelectsNothing
from service.domain.operations import Operation
from service.domain.subjects import Identity, SubjectKind
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


class TestKindsOfIdentifiers:
    """Data subjects whose identifiers' kinds are known, and those known by digests."""

    ADA = Identity(kind=SubjectKind.email, value="Ada@Example.org")
    DIGEST = hashlib.sha256(b"ada@example.org").hexdigest()
    SHA1, MD5 = (hashlib.new(name, b"ada@example.org").hexdigest() for name in ("sha1", "md5"))

    @pytest.fixture
    def tagged(self, house: House) -> House:
        """Ada has two rows, one by each of her identifiers; a user is called like her address."""
        subjects: list[object] = [
            {"kind": "email", "value": "ada@example.org"},
            {"kind": "user_id", "value": "17"},
            [{"kind": "user_id", "value": "ada@example.org"}, {"kind": "email", "value": "bob@example.org"}],
        ]
        rows = [{**row, "subject": subject} for row, subject in zip(people(2), subjects, strict=False)]
        house.line("bot", [*rows, {"id": "nobody", "prompt": "Who?", "completion": "Nobody."}])
        return house

    @pytest.mark.parametrize(
        ("subject", "expected"),
        [
            (ADA, {"p0-0"}),
            (Identity(kind=SubjectKind.email, sha256=DIGEST), {"p0-0"}),
            (Identity(kind=SubjectKind.user_id, value="17"), {"p0-1"}),
            ((ADA, Identity(kind=SubjectKind.user_id, value="17")), {"p0-0", "p0-1"}),
            # Who does not say the kind means all.
            ("ada@example.org", {"p0-0", "p1-0"}),
            (Identity(sha256=DIGEST), {"p0-0", "p1-0"}),
            (Identity(kind=SubjectKind.email, sha1=SHA1), {"p0-0"}),
            (Identity(md5=MD5), {"p0-0", "p1-0"}),
        ],
    )
    def test_they_select_what_may_speak_of_them(self, tagged: House, subject: Any, expected: set[str]) -> None:
        (found,) = matched(tagged, remove_subject(subject)).matches
        assert set(found.edits) == expected

    def test_a_plain_subject_may_be_of_any_kind(self, house: House) -> None:
        house.line("bot", [{**row, "subject": "ada@example.org"} for row in people(1)])
        for subject in (self.ADA, Identity(kind=SubjectKind.email, sha256=self.DIGEST)):
            (found,) = matched(house, remove_subject(subject)).matches
            assert len(found.edits) == 2

    def test_a_dataset_that_knows_digests_alone(self, house: House) -> None:
        house.line("bot", [{**row, "subject": {"kind": "email", "sha256": self.DIGEST}} for row in people(1)])
        for subject in (self.ADA, "ada@example.org"):
            (found,) = matched(house, remove_subject(subject)).matches
            assert len(found.edits) == 2

    def test_who_is_not_there_and_who_cannot_be_looked_up(self, tagged: House) -> None:
        """A dataset without telephone numbers cannot tell whether it speaks of their owner."""
        eve = Identity(kind=SubjectKind.email, value="eve@example.org")
        phone = Identity(kind=SubjectKind.phone, value="+49 30 1")
        assert matched(tagged, remove_subject(eve)).unindexed == ()
        assert matched(tagged, remove_subject(phone)).unindexed == ("bot",)
        assert matched(tagged, remove_subject((phone, eve))).unindexed == ()

    def test_who_is_known_by_one_digest_cannot_be_looked_up_by_another(self, house: House) -> None:
        house.line("bot", [{**row, "subject": {"kind": "email", "sha1": self.SHA1}} for row in people(1)])
        for subject in (self.ADA, Identity(sha1=self.SHA1)):
            (found,) = matched(house, remove_subject(subject)).matches
            assert len(found.edits) == 2
        for subject in (Identity(sha256=self.DIGEST), Identity(md5=self.MD5)):
            assert matched(house, remove_subject(subject)).unindexed == ("bot",)

    def test_a_dataset_of_an_earlier_release_knows_no_digest_but_sha256(self, tagged: House) -> None:
        with tagged.store.write() as unit:
            for dataset in unit.datasets.list(after=None, limit=10).items:
                dataset.subject_digests = None
        assert matched(tagged, remove_subject(Identity(md5=self.MD5))).unindexed == ("bot",)
        assert matched(tagged, remove_subject(Identity(sha256=self.DIGEST))).unindexed == ()

    def test_a_dataset_of_an_earlier_release_has_no_digests(self, tagged: House) -> None:
        with tagged.store.write() as unit:
            for dataset in unit.datasets.list(after=None, limit=10).items:
                dataset.subject_kinds = None
        assert matched(tagged, remove_subject(Identity(sha256=self.DIGEST))).unindexed == ("bot",)
        assert matched(tagged, remove_subject("nobody")).unindexed == ()

    def test_whoever_was_erased_may_not_come_back_under_another_name(self, tagged: House) -> None:
        line = tagged.targets(tagged.submit(remove_subject(self.ADA)))[0].line_id
        tagged.serve(line)
        names: list[object] = [
            "ADA@example.org", {"kind": "email", "value": "ada@example.org"}, {"sha256": self.DIGEST},
            {"md5": self.MD5}, {"kind": "user_id", "value": "ada@example.org"}, "eve@example.org",
        ]  # fmt: skip
        rows = [{"id": str(n), "subject": name, "prompt": "?", "completion": str(n)} for n, name in enumerate(names)]
        dataset = tagged.dataset(rows)
        with tagged.store.read() as unit:
            assert unit.datasets.suppressed_ids(dataset, line) == {"0", "1", "2", "3"}
