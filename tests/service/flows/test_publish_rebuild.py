"""Publishing rebuilds: everything covered becomes exact, and answers that came meanwhile are solved again."""

import pytest

from service.domain.adapters import ClaimLevel, Strategy
from service.domain.compaction import LEAD
from service.domain.engine import EngineFailure, FailureClass
from service.domain.errors import Fenced
from service.domain.runs import Lane
from service.domain.states import RequestState, TargetState, VersionState
from service.flows.assemble import run_edits
from service.flows.change_policy import update_policy
from service.flows.claim import Claim
from service.flows.compact import compact_due
from service.flows.fail import fail, hand_back
from tests.support.house import ACTOR, House, correct, people, remove, remove_subject


def overtaken(house: House) -> tuple[str, str, Claim]:
    """A line whose new anchor took over while a request was solved from the old one: the line, request and claim."""
    line = house.line("bot", people(8))
    house.submit(remove("p0-0"))
    house.serve(line)
    rebuild = house.begin_rebuild(line)
    request = house.submit(remove("p1-0"))
    late = house.claim_queued(line)
    assert house.rebuild(rebuild) is None
    return line, request, late


class TestRebuild:
    def test_a_rebuild_makes_every_covered_request_exact_and_shreds_its_texts(self, house: House) -> None:
        line = house.line("bot", people(6))
        request = house.submit(remove_subject("Person 1"), correct("p2-0", "Put right."))
        house.serve(line)
        assert house.rebuild(house.begin_rebuild(line)) is None
        assert house.targets(request)[0].claim_level is ClaimLevel.exact
        with house.store.read() as unit:
            final, interim = unit.requests.certificates(request)
            assert final.final
            assert final.supersedes == interim.id
            assert final.claim_level is ClaimLevel.exact
            dataset = unit.versions.of_line(line)[0].dataset_id
            gone = [house.vault.hashes.pseudonym(dataset, name) for name in ("p1-0", "p1-1")]
            rows = unit.datasets.some(dataset, [*gone, "p2-0", "p3-0"])
            keys = {i: unit.texts.get(row.text_id).wrapped_key is not None for i, row in rows.items()}
            assert keys == {gone[0]: False, gone[1]: False, "p2-0": False, "p3-0": True}
            assert all(unit.texts.get(op.text_id).wrapped_key is None for op in unit.requests.operations(request))
            correction = next(e for e in unit.ledger.of_line(line) if e.instance_id == "p2-0")
            assert unit.texts.get(str(correction.text_id)).wrapped_key is not None

    def test_a_row_another_line_is_trained_on_keeps_its_key(self, house: House) -> None:
        dataset = house.dataset(people(6))
        line = house.line("bot", dataset)
        house.line("twin", dataset)
        house.submit(remove("p0-0"), adapters=["bot"], strategy=Strategy.rebuild)
        house.rebuild(house.claim_queued(line, Lane.compact))
        with house.store.read() as unit:
            row = unit.datasets.some(dataset, ["p0-0"])["p0-0"]
            assert unit.texts.get(row.text_id).wrapped_key is not None

    def test_a_rebuild_asked_for_directly_answers_its_members_exactly(self, house: House) -> None:
        line = house.line("bot", people(6))
        request = house.submit(remove("p0-0"), strategy=Strategy.rebuild)
        house.rebuild(house.claim_queued(line, Lane.compact))
        assert house.request(request).state is RequestState.succeeded
        assert house.targets(request)[0].claim_level is ClaimLevel.exact

    def test_answers_published_meanwhile_must_be_solved_on_the_new_anchor_first(self, house: House) -> None:
        line = house.line("bot", people(8))
        early = house.submit(remove("p0-0"))
        house.serve(line)
        rebuild = house.begin_rebuild(line)
        late = house.submit(remove("p1-0"))
        house.serve(line)
        moved = house.rebuild(rebuild)
        assert moved is not None
        assert moved.head == 2
        assert house.rebuild(rebuild, house.staged_answer(rebuild, solved=2)) is None
        assert house.targets(early)[0].claim_level is ClaimLevel.exact
        assert house.targets(late)[0].claim_level is ClaimLevel.measured
        with house.store.read() as unit:
            states = [version.state for version in unit.versions.of_line(line)]
            assert states[-2:] == [VersionState.quarantined, VersionState.ready]
            (tail,) = [entry for entry in unit.ledger.of_line(line) if entry.baked_id is None]
            assert tail.instance_id == "p1-0"

    def test_an_answer_solved_from_the_old_anchor_is_solved_again_after_the_rebuild(self, house: House) -> None:
        line, request, late = overtaken(house)
        house.answer(late)
        assert house.request(request).state is RequestState.queued
        with house.store.read() as unit:
            assert [version.number for version in unit.versions.of_line(line)] == [1, 2, 3]
        again = house.serve(line)
        assert (again.run_id, again.attempt) == (late.run_id, 1), "it was not its fault"
        assert house.request(request).state is RequestState.succeeded

    def test_an_update_that_fails_because_its_anchor_went_is_solved_again_on_the_new_one(self, house: House) -> None:
        line, request, late = overtaken(house)
        with house.store.write() as unit:
            fail(unit, late, EngineFailure(FailureClass.permanent, "adapter", "It cannot be read."))
        (target,) = house.targets(request)
        assert (target.state, target.strategy) == (TargetState.queued, Strategy.influence), "it goes to no rebuild"
        again = house.serve(line)
        assert (again.run_id, again.attempt) == (late.run_id, 1), "it was not its fault"
        assert house.request(request).state is RequestState.succeeded

    def test_emptying_a_line_retires_it(self, house: House) -> None:
        line = house.line("bot", people(2), max_share=1.0)
        request = house.submit(remove_subject("Person 0"), remove_subject("Person 1"))
        run_id = house.queued_run(line, Lane.compact)
        assert run_id is not None
        assert house.claim(run_id) is None
        assert house.request(request).state is RequestState.succeeded
        with house.store.read() as unit:
            assert unit.lines.get(line).retired_at is not None
            assert {version.state for version in unit.versions.of_line(line)} == {VersionState.withdrawn}
            dataset = unit.versions.of_line(line)[0].dataset_id
            assert unit.datasets.suppressed_count(dataset, line) == 4
            rows = unit.datasets.instances(dataset)
            assert all(unit.texts.get(row.text_id).wrapped_key is None for row in rows)

    def test_emptying_a_line_ends_what_was_answered_before_and_what_is_under_way(self, house: House) -> None:
        line = house.line("bot", people(2), max_share=1.0, influence_share=1.0, complete_at="E")
        earlier = house.submit(remove("p0-0"))
        house.serve(line)
        rebuild = house.begin_rebuild(line)
        house.submit(remove("p0-1", "p1-0", "p1-1"), strategy=Strategy.influence)
        run_id = house.queued_run(line)
        assert run_id is not None
        assert house.claim(run_id) is None
        assert house.request(earlier).state is RequestState.succeeded
        assert house.targets(earlier)[0].claim_level is ClaimLevel.exact
        with pytest.raises(Fenced):
            house.rebuild(rebuild)
        with house.store.read() as unit:
            rows = unit.datasets.instances(unit.versions.of_line(line)[0].dataset_id)
            assert all(unit.texts.get(row.text_id).wrapped_key is None for row in rows)


class TestSchedule:
    def test_only_what_is_not_yet_rebuilt_sets_the_date(self, house: House) -> None:
        line = house.line("bot", people(8), shred_within_s=1)
        house.submit(remove("p0-0"))
        house.serve(line)
        house.rebuild(house.begin_rebuild(line))
        with house.store.write() as unit:
            assert unit.lines.get(line).rebuild_due_at is None
            update_policy(unit, "bot", {"shred_within_s": 1000, "rebuild_after_s": 500}, actor=ACTOR)
        house.submit(remove("p1-0"))
        house.serve(line)
        with house.store.read() as unit:
            due = unit.lines.get(line).rebuild_due_at
            assert due is not None
            assert 490 < (due - unit.now).total_seconds() <= 500

    def test_a_ledger_that_drifted_is_compacted_at_once(self, house: House) -> None:
        line = house.line("bot", people(8))
        house.submit(remove("p0-0"))
        house.serve(line, drift=0.4)
        with house.store.write() as unit:
            assert compact_due(unit) == 0
        house.submit(remove("p1-0"))
        claimed = house.serve(line, drift=0.75)
        with house.store.write() as unit:
            (row,) = [row for row in unit.feed.audit_rows(0, 1000) if row.action == "ledger.drifted"]
            assert row.data == {"adapter": "bot", "run": claimed.run_id, "drift": 0.75, "max_drift": 0.5}
            assert compact_due(unit) == 1
        house.rebuild(house.claim_queued(line, Lane.compact))
        with house.store.read() as unit:
            assert unit.lines.get(line).rebuild_due_at is None

    def test_so_is_one_that_drifts_on_its_new_anchor(self, house: House) -> None:
        line = house.line("bot", people(8), max_fidelity=1.5)
        house.submit(remove("p0-0"))
        house.serve(line)
        rebuild = house.begin_rebuild(line)
        late = house.submit(remove("p1-0"))
        house.serve(line)
        tail = house.staged_answer(rebuild, solved=2, drift=0.75, fidelity=2.1)
        assert house.rebuild(rebuild, tail) is None
        assert house.targets(late)[0].claim_level is ClaimLevel.measured
        with house.store.write() as unit:
            assert unit.versions.of_line(line)[-1].claim_level is ClaimLevel.inconclusive
            assert compact_due(unit) == 1

    def test_drift_does_not_collapse_a_line_that_cannot_be_rebuilt(self, house: House) -> None:
        line = house.line("bot", people(8), recipe=None)
        request = house.submit(remove("p0-0"))
        house.serve(line, drift=0.75)
        with house.store.write() as unit:
            assert unit.lines.get(line).rebuild_due_at == house.targets(request)[0].shred_by - LEAD
            assert compact_due(unit) == 0


class TestYield:
    def test_a_rebuild_that_made_room_goes_on_with_the_data_it_froze(self, house: House) -> None:
        line = house.line("bot", people(8))
        member = house.submit(remove("p0-0"), strategy=Strategy.rebuild)
        first = house.claim_queued(line, Lane.compact)
        with house.store.write() as unit:
            run = unit.runs.lock(first.run_id)
            assert run is not None
            run.checkpoint = "runs/somewhere"
            hand_back(unit, run, reason="yielded", counts=False)
        late = house.submit(remove("p1-0"))
        house.serve(line)
        second = house.claim_queued(line, Lane.compact)
        assert (second.run_id, second.attempt) == (first.run_id, first.attempt)
        with house.store.read() as unit:
            assert [edit.instance_id for edit in run_edits(unit, house.vault, second)] == ["p0-0"]
        assert house.rebuild(second) is not None, "the late answer is not covered"
        assert house.rebuild(second, house.staged_answer(second, solved=1)) is None
        assert house.targets(member)[0].claim_level is ClaimLevel.exact
        assert house.targets(late)[0].claim_level is ClaimLevel.measured
