"""Folds while workers are idle: one a run, never in the way, and gone with the anchor they belong to."""

import base64
import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from service.domain.engine import InfluenceJob, OutOfFoldJob
from service.domain.errors import Fenced
from service.domain.runs import Lane
from service.domain.states import RequestState, RunState
from service.domain.version import ENGINE_VERSION
from service.flows.change_policy import update_policy
from service.flows.claim import Claim, waiting_for
from service.store.tables import Version
from tests.support.folds import (
    anchor_of,
    claim_fold,
    is_readable,
    job_of,
    line_with_folds,
    rebuild,
    repair,
    run_of,
    yield_to_others,
)
from tests.support.house import ACTOR, House, people, remove

pytestmark = pytest.mark.slow


@pytest.fixture
def line(house: House) -> str:
    return line_with_folds(house)


class TestQueue:
    def test_one_run_a_line(self, house: House, line: str) -> None:
        assert repair(house).idle == 1
        assert repair(house).idle == 0
        house.claim_queued(line, Lane.idle)
        assert repair(house).idle == 0

    def test_none_without_an_idle_worker(self, house: House) -> None:
        house.line("bot", people(6), out_of_fold=True)
        assert repair(house).idle == 0

    def test_none_while_the_only_worker_is_at_work(self, house: House, line: str) -> None:
        other = house.line("other", people(6))
        house.submit(remove("p0-0"), adapters=["other"])
        claimed = house.claim_queued(other)
        assert repair(house).idle == 0
        house.answer(claimed)
        assert repair(house).idle == 1

    def test_a_policy_that_is_switched_off_ends_them(self, house: House, line: str) -> None:
        claimed = claim_fold(house, line)
        yield_to_others(house, claimed)
        with house.store.write() as unit:
            update_policy(unit, "bot", {"out_of_fold": False}, actor=ACTOR)
        assert repair(house).idle == 0
        assert run_of(house, claimed).state is RunState.canceled


class TestClaim:
    def test_it_freezes_no_members_and_leaves_the_request_alone(self, house: House, line: str) -> None:
        claimed = claim_fold(house, line)
        request = house.submit(remove("p0-0"))
        assert [target.run_id for target in house.targets(request)] == [None]
        house.serve(line)
        assert house.request(request).state is RequestState.succeeded
        assert run_of(house, claimed).state is RunState.running

    def test_other_work_goes_first(self, house: House, line: str) -> None:
        repair(house)
        run_id = str(house.queued_run(line, Lane.idle))
        other = house.line("other", people(6))
        house.submit(remove("p0-0"), adapters=["other"])
        assert house.claim(run_id) is None
        with house.store.read() as unit:
            run = unit.runs.get(run_id)
            assert run is not None
            assert waiting_for(unit, run, {"default"}) == "idle workers"
        house.serve(other)
        assert house.claim(run_id) is not None

    def test_the_job_holds_what_is_needed_and_the_folds_there_are(self, house: House, line: str) -> None:
        first = house.keep_fold(claim_fold(house, line))
        job = job_of(house, claim_fold(house, line))
        assert isinstance(job, OutOfFoldJob)
        assert len(job.data.examples) == 12
        assert len({example.subject for example in job.data.examples}) == 6
        assert job.done == (Path(first.files.prefix),)
        assert job.resume is None


class TestPublish:
    def test_the_anchor_gains_a_fold_and_shows_it(self, house: House, line: str) -> None:
        for remaining in (2, 1, 0):
            staged = house.keep_fold(claim_fold(house, line), remaining=remaining)
        anchor = anchor_of(house, line)
        assert len(anchor.out_of_fold or ()) == 3
        assert (anchor.out_of_fold or [])[-1] == {
            "prefix": staged.files.prefix,
            "files": staged.files.files,
            "remaining": staged.result.remaining,
            "trained_at": (anchor.out_of_fold or [])[-1]["trained_at"],
            "engine_version": ENGINE_VERSION,
        }
        assert capabilities(anchor)["out-of-fold"] == {"name": "out-of-fold", "supported": True, "reason": None}
        assert set(capabilities(anchor)) == {"influence", "rebuild", "out-of-fold"}
        assert repair(house).idle == 0

    def test_as_long_as_some_are_missing_it_says_how_many(self, house: House, line: str) -> None:
        house.keep_fold(claim_fold(house, line), remaining=14)
        shown = capabilities(anchor_of(house, line))["out-of-fold"]
        assert not shown["supported"]
        assert str(shown["reason"]).startswith("1 of 15 folds are done")

    def test_a_stale_worker_adds_nothing(self, house: House, line: str) -> None:
        stale = claim_fold(house, line)
        yield_to_others(house, stale)
        house.keep_fold(house.claim_queued(line, Lane.idle))
        with pytest.raises(Fenced):
            house.keep_fold(stale)
        assert len(anchor_of(house, line).out_of_fold or ()) == 1

    @pytest.mark.parametrize("published", [False, True])
    def test_a_fold_that_comes_after_a_request_is_thrown_away(self, house: House, line: str, published: bool) -> None:
        claimed = claim_fold(house, line)
        house.submit(remove("p0-0"))
        if published:
            house.serve(line)
            rebuild(house, line)
        house.keep_fold(claimed)
        assert run_of(house, claimed).state is RunState.canceled
        assert not anchor_of(house, line).out_of_fold


class TestLastFold:
    def job(self, house: House, claimed: Claim) -> OutOfFoldJob:
        job = job_of(house, claimed)
        assert isinstance(job, OutOfFoldJob)
        return job

    def test_it_alone_carries_the_anchor_and_all_the_folds_before(self, house: House) -> None:
        house.show_worker()
        line = house.line("bot", people(6), out_of_fold=True, update_budget=0.07)
        folds = []
        for remaining in (2, 1):
            claimed = claim_fold(house, line)
            assert self.job(house, claimed).anchor is None
            folds.append(Path(house.keep_fold(claimed, remaining=remaining).files.prefix))
        job, anchor = self.job(house, claim_fold(house, line)), anchor_of(house, line)
        assert job.anchor is not None
        assert job.anchor.key == anchor.id
        assert (job.anchor.adapter, job.anchor.artefacts) == (
            Path(str(anchor.blob_prefix)),
            Path(str(anchor.artefacts_prefix)),
        )
        assert job.anchor.out_of_fold == job.done == tuple(folds)
        assert job.anchor.data == job.data
        assert job.budget == 0.07

    def test_one_that_made_room_still_carries_it(self, house: House, line: str) -> None:
        house.keep_fold(claim_fold(house, line), remaining=1)
        claimed = claim_fold(house, line)
        checkpoint = yield_to_others(house, claimed)
        again = house.claim_queued(line, Lane.idle)
        assert again.run_id == claimed.run_id
        job = self.job(house, again)
        assert job.resume == Path(checkpoint)
        assert job.anchor is not None

    def test_what_it_predicts_is_the_anchors_from_then_on(self, house: House, line: str) -> None:
        house.keep_fold(claim_fold(house, line), remaining=1)
        before = anchor_of(house, line).measurements
        assert before is not None
        assert before["predicted_fidelity"] == {}
        predicted = {"end-point": 2.1, "out-of-fold": 0.8}
        house.keep_fold(claim_fold(house, line), remaining=0, predicted=predicted)
        assert anchor_of(house, line).measurements == {**before, "predicted_fidelity": predicted}

    def test_without_a_prediction_what_was_known_stays(self, house: House) -> None:
        house.show_worker()
        line = house.line("bot", people(6), out_of_fold=True, predicted={"end-point": 2.5})
        before = anchor_of(house, line).measurements
        assert before is not None
        assert before["predicted_fidelity"] == {"end-point": 2.5}
        for remaining in (1, 0):
            house.keep_fold(claim_fold(house, line), remaining=remaining)
        assert anchor_of(house, line).measurements == before

    def test_what_comes_after_a_request_predicts_nothing(self, house: House, line: str) -> None:
        house.keep_fold(claim_fold(house, line), remaining=1)
        claimed, before = claim_fold(house, line), anchor_of(house, line).measurements
        house.submit(remove("p0-0"))
        house.keep_fold(claimed, remaining=0, predicted={"out-of-fold": 0.8})
        assert anchor_of(house, line).measurements == before


class TestAnswers:
    def test_they_use_the_folds_there_are_and_no_more_are_trained(self, house: House, line: str) -> None:
        fold = house.keep_fold(claim_fold(house, line))
        request = house.submit(remove("p0-0"))
        claimed = house.claim_queued(line)
        job = job_of(house, claimed)
        assert isinstance(job, InfluenceJob)
        assert job.anchor.out_of_fold == (Path(fold.files.prefix),)
        house.answer(claimed)
        assert repair(house).idle == 0
        assert house.blobs.exists_tree(fold.files.prefix)
        assert remaining_copies(house, request)["out_of_fold_predictions"] is not None

    def test_predictions_go_with_the_anchor(self, house: House, line: str) -> None:
        folds = [house.keep_fold(claim_fold(house, line), remaining=left) for left in (1, 0)]
        old = anchor_of(house, line)
        request = house.submit(remove("p0-0"))
        house.serve(line)
        rebuild(house, line)
        assert "out_of_fold_predictions" not in remaining_copies(house, request)
        assert "out_of_fold_predictions" in destroyed_copies(house, request)
        assert not any(is_readable(house, fold.files.prefix) for fold in folds)
        assert repair(house).idle == 1, "the next anchor has none yet"
        assert not any(house.blobs.exists_tree(fold.files.prefix) for fold in folds)
        with house.store.read() as unit:
            assert not unit.versions.get(old.id).out_of_fold

    def test_a_fold_that_came_too_late_was_never_readable(self, house: House, line: str) -> None:
        claimed = claim_fold(house, line)
        house.submit(remove("p0-0"))
        assert not is_readable(house, house.keep_fold(claimed).files.prefix)

    def test_without_folds_the_certificate_names_none(self, house: House) -> None:
        line = house.line("bot", people(6))
        request = house.submit(remove("p0-0"))
        house.serve(line)
        assert "out_of_fold_predictions" not in remaining_copies(house, request)
        rebuild(house, line)
        assert "out_of_fold_predictions" not in destroyed_copies(house, request)


def capabilities(version: Version) -> Mapping[str, Mapping[str, object]]:
    return {capability["name"]: capability for capability in version.capabilities or ()}


def remaining_copies(house: House, request: str) -> Mapping[str, object]:
    """What the newest certificate says: kind of copy to when it goes."""
    return {copy["kind"]: copy["until"] for copy in said(house, request)["remaining_copies"]}


def destroyed_copies(house: House, request: str) -> Mapping[str, object]:
    """What the newest certificate says: kind of copy to when it went."""
    return {copy["kind"]: copy["destroyed_at"] for copy in said(house, request)["destroyed_copies"]}


def said(house: House, request: str) -> Mapping[str, list[dict[str, object]]]:
    with house.store.read() as unit:
        envelope = unit.requests.certificates(request)[0].envelope
    predicate: Mapping[str, list[dict[str, object]]] = json.loads(base64.b64decode(envelope["payload"]))["predicate"]
    return predicate
