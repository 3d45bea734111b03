"""A line goes for good: nothing of it is served, nothing can be read, and what was asked of it is answered by that."""

import base64
import json
from typing import Any

import pytest

from service.domain.adapters import BaseModelRef, ClaimLevel, Policy, Strategy, TrainingFormat
from service.domain.errors import Conflict, Fenced, Gone
from service.domain.runs import Lane, RunKind
from service.domain.states import Outcome, RequestState, RunState, TargetState, VersionState
from service.evidence.statements import RETIRED
from service.flows import decide
from service.flows.add_version import VersionSource, add_version
from service.flows.alias import set_alias
from service.flows.compact import rebuild_now
from service.flows.lines import create_line
from service.flows.reconcile import reconcile
from service.flows.retire import EMPTIED, retire
from service.flows.roll_forward import plan_roll_forward
from service.flows.submit import Submission, submit
from tests.support.house import ACTOR, RECIPE, House, correct, people, person, remove, remove_subject

OPERATOR = "key_operator"
REASON = "Its product was discontinued."


def retired(house: House, name: str = "bot") -> None:
    with house.store.write() as unit:
        retire(unit, house.vault, name, actor=OPERATOR, reason=REASON)


def said(house: House, request: str) -> list[dict[str, Any]]:
    """The statements of a request's certificates, newest first."""
    with house.store.read() as unit:
        envelopes = [row.envelope for row in unit.requests.certificates(request)]
    return [json.loads(base64.b64decode(envelope["payload"])) for envelope in envelopes]


def predicate(house: House, request: str) -> dict[str, Any]:
    """What the newest certificate says."""
    told: dict[str, Any] = said(house, request)[0]["predicate"]
    return told


def events(house: House, kind: str) -> list[dict[str, Any]]:
    with house.store.read() as unit:
        return [event.data for event in unit.feed.events(0, limit=1000) if event.type == kind]


class TestTheLine:
    def test_no_version_alias_or_key_to_derived_data_is_left(self, house: House) -> None:
        line = house.line("bot", people(6))
        house.submit(remove("p0-0"))
        house.serve(line)
        retired(house)
        with house.store.read() as unit:
            row = unit.lines.get(line)
            assert (row.retired_by, row.retired_reason, row.anchor_id, row.head_id) == (OPERATOR, REASON, None, None)
            assert unit.lines.aliases(line) == []
            assert {version.state for version in unit.versions.of_line(line)} == {VersionState.withdrawn}
            prefixes = [
                version.artefacts_prefix for version in unit.versions.of_line(line) if version.artefacts_prefix
            ]
            assert prefixes
            assert all(tree.wrapped_key is None for tree in unit.trees.many(prefixes).values())
            (told,) = [row for row in unit.feed.audit_rows(0, 1000) if row.action == "adapter.retired"]
            assert (told.actor, told.data["adapter"]) == (OPERATOR, "bot")
        assert len(events(house, "adapter.retired")) == 1
        assert [event["alias"] for event in events(house, "alias.removed")] == ["production"]
        assert [event["version"] for event in events(house, "version.withdrawn")] == [1, 2]

    def test_its_files_are_deleted(self, house: House) -> None:
        line = house.line("bot", people(6))
        with house.store.read() as unit:
            (version,) = unit.versions.of_line(line)
            prefixes = (str(version.blob_prefix), str(version.artefacts_prefix))
        retired(house)
        reconcile(house.store, house.blobs)
        with house.store.read() as unit:
            (version,) = unit.versions.of_line(line)
            assert (version.blob_prefix, version.artefacts_prefix) == (None, None)
        assert not any(list((house.directory.parent / "blobs").glob(f"{prefix}/*")) for prefix in prefixes)

    def test_it_takes_no_requests_and_no_trainings_any_more(self, house: House) -> None:
        line = house.line("bot", people(6))
        dataset = house.dataset(people(3))
        retired(house)
        source = VersionSource(RunKind.train, dataset, None, RECIPE, TrainingFormat())
        named = Submission((remove("p0-0"),), adapters=("bot",))
        with house.store.write() as unit:
            row = unit.lines.get(line)
            for refuse in (
                lambda: submit(unit, house.vault, named, actor=ACTOR, body_hash="0"),
                lambda: add_version(unit, "bot", source, actor=ACTOR),
                lambda: rebuild_now(unit, "bot", actor=ACTOR),
                lambda: plan_roll_forward(unit, row, "v1"),
                lambda: retire(unit, house.vault, "bot", actor=ACTOR, reason=REASON),
            ):
                with pytest.raises(Conflict) as refused:
                    refuse()
                assert (refused.value.code, bool(refused.value.fix)) == ("line-retired", True)
            with pytest.raises(Gone):
                set_alias(unit, "bot", "production", version="v1", expected=None, actor=ACTOR)
        assert house.request(house.submit(remove_subject("Person 0"))).outcome is Outcome.no_match

    def test_what_is_under_way_is_turned_away(self, house: House) -> None:
        line = house.line("bot", people(6))
        house.submit(remove("p0-0"))
        answer = house.claim_queued(line)
        rebuild = house.begin_rebuild(line)
        retired(house)
        with pytest.raises(Fenced):
            house.answer(answer)
        with pytest.raises(Fenced):
            house.rebuild(rebuild)
        with house.store.read() as unit:
            states = {run.id: run.state for run in unit.runs.list(after=None, limit=10, line_id=line).items}
        assert states[answer.run_id] is states[rebuild.run_id] is RunState.canceled

    def test_what_was_being_trained_is_rejected(self, house: House) -> None:
        line = house.line("bot", people(6))
        dataset = house.dataset(person(50))
        with house.store.write() as unit:
            source = VersionSource(RunKind.train, dataset, None, RECIPE, TrainingFormat())
            add_version(unit, "bot", source, actor=ACTOR)
        retired(house)
        with house.store.read() as unit:
            newest = unit.versions.of_line(line)[-1]
            assert newest.state is VersionState.rejected
            assert newest.rejection is not None
            assert newest.rejection["code"] == "line-retired"

    def test_another_line_on_the_same_rows_keeps_them(self, house: House) -> None:
        dataset = house.dataset(people(6))
        house.line("bot", dataset)
        house.line("twin", dataset)
        house.submit(remove("p0-0"), adapters=["bot"])
        retired(house)
        with house.store.read() as unit:
            rows = unit.datasets.some(dataset, ["p0-0", "p1-0"])
            assert all(unit.texts.get(row.text_id).wrapped_key is not None for row in rows.values())


class TestRequests:
    @pytest.mark.parametrize("state", ["queued", "running", "needs_attention"])
    def test_an_open_removal_gets_its_final_certificate(self, house: House, state: str) -> None:
        line = house.line("bot", people(6), recipe=None)
        request = house.submit(remove("p0-0"))
        if state != "queued":
            claimed = house.claim_queued(line)
            if state == "needs_attention":
                house.answer(claimed, passed=False)
        assert house.request(request).state == state
        retired(house)
        assert (house.request(request).state, house.request(request).outcome) == (RequestState.succeeded, Outcome.done)
        (statement,) = said(house, request)
        told = statement["predicate"]
        assert (told["status"], told["claim"]) == ("final", {"level": "E", "meaning": RETIRED})
        assert (told["retired"]["by"], told["retired"]["reason"]) == (OPERATOR, REASON)
        assert told["method"]["strategy"] == "retire"
        assert told["measurements"] == {}
        assert told["data"]["removed"]["count"] == 1
        assert [version["fate"] for version in told["version"]["superseded"]] == ["withdrawn"]
        assert {copy["kind"] for copy in told["destroyed_copies"]} == {"sealed_rows", "derived_data"}
        with house.store.read() as unit:
            (version,) = unit.versions.of_line(line)
            assert version.files is not None
            digests = {entry["sha256"] for entry in version.files.values()}
            assert unit.datasets.suppressed_count(version.dataset_id, line) == 1
        assert {subject["digest"]["sha256"] for subject in statement["subject"]} == digests

    def test_what_was_answered_before_becomes_final(self, house: House) -> None:
        line = house.line("bot", people(6), complete_at="E")
        waiting, corrected = house.submit(remove("p0-0")), house.submit(correct("p1-0", "Put right."))
        house.serve(line)
        assert house.request(waiting).state is RequestState.awaiting_rebuild
        retired(house)
        for request in (waiting, corrected):
            assert house.request(request).state is RequestState.succeeded
            final, interim = said(house, request)
            assert final["predicate"]["supersedes"] == interim["predicate"]["certificate"]
            assert (final["predicate"]["status"], final["predicate"]["claim"]["level"]) == ("final", "E")
        with house.store.read() as unit:
            edits = unit.targets.edits([house.targets(corrected)[0].id])
            assert all(
                row.wrapped_key is None for row in unit.texts.many(e.text_id for e in edits if e.text_id).values()
            )

    def test_what_is_final_already_gets_no_other_certificate(self, house: House) -> None:
        line = house.line("bot", people(6))
        request = house.submit(remove("p0-0"), strategy=Strategy.rebuild)
        house.rebuild(house.claim_queued(line, Lane.compact))
        retired(house)
        assert len(said(house, request)) == 1

    def test_a_correction_that_was_not_made_is_called_off(self, house: House) -> None:
        house.line("bot", people(6))
        request = house.submit(correct("p0-0", "Put right."))
        mixed = house.submit(correct("p1-0", "Put right."), remove("p2-0"))
        retired(house)
        assert house.request(request).state is RequestState.canceled
        failure = house.targets(request)[0].failure
        assert failure is not None
        assert failure["code"] == "line-retired"
        assert said(house, request) == []
        assert house.request(mixed).state is RequestState.succeeded

    def test_what_nobody_decided_waits_for_it_and_is_answered_then(self, house: House) -> None:
        line = house.line("bot", people(6))
        answered, kept = house.submit(remove("p0-0")), house.submit(correct("p0-1", "Put right."))
        with house.store.write() as unit:
            decide.hold(unit, kept, actor=ACTOR, reason=None)
        house.serve(line)
        late = house.submit(remove("p0-1"))
        with house.store.write() as unit:
            decide.hold(unit, late, actor=ACTOR, reason="litigation")
        retired(house)
        assert house.request(answered).state is RequestState.succeeded
        assert house.request(late).state is RequestState.queued
        assert said(house, late) == []
        with house.store.write() as unit:
            decide.release(unit, late, actor=ACTOR)
        run_id = house.queued_run(line)
        assert run_id is not None
        assert house.claim(run_id) is None
        assert house.request(late).state is RequestState.succeeded
        assert predicate(house, late)["retired"]["by"] == OPERATOR
        assert predicate(house, late)["run"] == run_id
        with house.store.write() as unit:
            decide.release(unit, kept, actor=ACTOR)
        run_id = house.queued_run(line)
        assert run_id is not None
        assert house.claim(run_id) is None
        assert house.request(kept).state is RequestState.canceled

    def test_nothing_is_erased_that_was_not_approved(self, house: House) -> None:
        line = house.line("bot", people(6), require_approval=True)
        request = house.submit(remove_subject("Person 0"))
        retired(house)
        assert house.request(request).state is RequestState.awaiting_approval
        with house.store.read() as unit:
            dataset = unit.versions.of_line(line)[0].dataset_id
            assert unit.datasets.suppressed_count(dataset, line) == 0
        with house.store.write() as unit:
            decide.approve(unit, request, actor=OPERATOR)
        run_id = house.queued_run(line)
        assert run_id is not None
        assert house.claim(run_id) is None
        assert house.targets(request)[0].state is TargetState.succeeded
        assert predicate(house, request)["actors"]["approved_by"] == OPERATOR

    def test_a_line_that_never_served_anything(self, house: House) -> None:
        dataset = house.dataset(people(6))
        with house.store.write() as unit:
            line = create_line(unit, "bot", BaseModelRef(path="/base"), Policy(), actor=ACTOR)
            source = VersionSource(RunKind.train, dataset, None, RECIPE, TrainingFormat())
            add_version(unit, "bot", source, actor=ACTOR)
        request = house.submit(remove("p0-0"))
        retired(house)
        (statement,) = said(house, request)
        assert statement["subject"][0]["name"] == request
        assert statement["predicate"]["version"]["digest"] is None
        assert house.targets(request)[0].claim_level is ClaimLevel.exact
        with house.store.read() as unit:
            assert [version.state for version in unit.versions.of_line(line.id)] == [VersionState.rejected]

    def test_a_line_without_any_version(self, house: House) -> None:
        with house.store.write() as unit:
            create_line(unit, "bot", BaseModelRef(path="/base"), Policy(), actor=ACTOR)
        retired(house)
        assert len(events(house, "adapter.retired")) == 1


class TestEmptied:
    def test_the_removal_of_the_last_instance_gets_its_final_certificate(self, house: House) -> None:
        line = house.line("bot", people(2), max_share=1.0)
        request = house.submit(remove_subject("Person 0"), remove_subject("Person 1"))
        run_id = house.queued_run(line, Lane.compact)
        assert run_id is not None
        assert house.claim(run_id) is None
        told = predicate(house, request)
        assert (told["status"], told["run"], told["claim"]["meaning"]) == ("final", run_id, RETIRED)
        assert (told["retired"]["by"], told["retired"]["reason"]) == ("lethe", EMPTIED)
        assert told["data"]["removed"]["count"] == 4
        with house.store.read() as unit:
            run = unit.runs.get(run_id)
            assert run is not None
            assert (run.kind, run.state) == (RunKind.retire, RunState.succeeded)

    def test_so_does_what_was_answered_before_and_what_waits_behind_it(self, house: House) -> None:
        line = house.line("bot", people(2), max_share=1.0, influence_share=1.0, complete_at="E")
        earlier = house.submit(remove("p0-0"))
        house.serve(line)
        rest = house.submit(remove("p0-1", "p1-0", "p1-1"), strategy=Strategy.influence)
        beside = house.submit(remove("p1-1"), strategy=Strategy.rebuild)
        run_id = house.queued_run(line)
        assert run_id is not None
        assert house.claim(run_id) is None
        for request in (earlier, rest, beside):
            assert house.request(request).state is RequestState.succeeded
            assert predicate(house, request)["status"] == "final"
