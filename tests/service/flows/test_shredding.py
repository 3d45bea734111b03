"""What was erased is destroyed, when it may be, and the certificates say what remains and what went."""

import base64
import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from service.domain.adapters import ClaimLevel, Strategy
from service.domain.engine import TrainJob
from service.domain.errors import Corrupted, IllegalTransition, Shredded
from service.domain.runs import Lane
from service.domain.states import RequestState, TargetState, VersionState
from service.flows import decide, texts
from service.flows.assemble import assemble
from service.flows.compact import compact_due
from service.flows.copies import SWEPT_WITHIN
from service.flows.reconcile import reconcile
from tests.support.house import ACTOR, House, correct, people, person, remove, remove_subject


def said(house: House, request: str) -> dict[str, Any]:
    """The predicate of the newest certificate."""
    with house.store.read() as unit:
        envelope = unit.requests.certificates(request)[0].envelope
    predicate: dict[str, Any] = json.loads(base64.b64decode(envelope["payload"]))["predicate"]
    return predicate


def kinds(copies: list[dict[str, Any]]) -> set[str]:
    return {copy["kind"] for copy in copies}


def rebuild(house: House, line: str) -> None:
    assert house.rebuild(house.begin_rebuild(line)) is None


def collapse(house: House, line: str, later: Any) -> None:
    """The line cannot be rebuilt, and its time has come."""
    with house.store.write() as unit:
        due = unit.lines.get(line).rebuild_due_at
        assert due is not None
        wait = due - unit.now
    later(wait + timedelta(seconds=1))
    with house.store.write() as unit:
        assert compact_due(unit) == 1
    assert house.rebuild(house.claim_queued(line, Lane.compact)) is None


def names(house: House, line: str) -> set[str]:
    """Every instance id that the database still holds of a line's dataset."""
    with house.store.read() as unit:
        dataset = unit.versions.of_line(line)[0].dataset_id
        rows = {row.instance_id for row in unit.datasets.instances(dataset)}
        return rows | {e.instance_id for e in unit.ledger.of_line(line)} | set(unit.datasets.subjects(dataset))


def test_an_interim_certificate_lists_what_remains_and_the_final_one_what_went(house: House) -> None:
    line = house.line("bot", people(6))
    request = house.submit(remove("p0-0"))
    house.serve(line)
    interim = said(house, request)
    shred_by = house.targets(request)[0].shred_by.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    dates = {copy["kind"]: copy["until"] for copy in interim["remaining_copies"]}
    assert {dates[kind] for kind in ("sealed_rows", "quarantined_anchor", "derived_data")} == {shred_by}
    assert interim["destroyed_copies"] == []
    rebuild(house, line)
    final = said(house, request)
    assert (final["status"], final["supersedes"]) == ("final", interim["certificate"])
    gone = final["destroyed_copies"]
    with house.store.read() as unit:
        certificate = unit.requests.certificates(request)[0]
        row = unit.datasets.some(unit.versions.of_line(line)[0].dataset_id, [f"{n}" for n in names(house, line)])
        shredded = {unit.texts.get(r.text_id).shredded_at for r in row.values()} - {None}
    assert kinds(gone) == {"sealed_rows", "derived_data"}
    assert shredded == {certificate.created_at}
    (moment,) = {datetime.fromisoformat(copy["destroyed_at"]) for copy in gone}
    dates = {copy["kind"]: copy["until"] for copy in final["remaining_copies"]}
    assert "derived_data" not in dates
    assert datetime.fromisoformat(dates["worker_caches"]) - moment == SWEPT_WITHIN


def test_the_audit_chain_notes_when_files_went(house: House) -> None:
    line = house.line("bot", people(6))
    house.submit(remove("p0-0"), strategy=Strategy.rebuild)
    with house.store.read() as unit:
        old = unit.versions.of_line(line)[0].artefacts_prefix
    house.rebuild(house.claim_queued(line, Lane.compact))
    reconcile(house.store, house.blobs)
    assert not house.blobs.exists_tree(str(old))
    with house.store.read() as unit:
        noted = [row.data for row in unit.feed.audit_rows(0, 1000) if row.action == "copy.deleted"]
    assert {"adapter": "bot", "version": 1, "copy": "artefacts_prefix"} in noted


def test_a_row_another_line_is_trained_on_is_not_said_to_be_destroyed(house: House) -> None:
    dataset = house.dataset(people(6))
    line = house.line("bot", dataset)
    house.line("twin", dataset)
    request = house.submit(remove("p0-0"), adapters=["bot"], strategy=Strategy.rebuild)
    house.rebuild(house.claim_queued(line, Lane.compact))
    final = said(house, request)
    assert final["destroyed_copies"] == []
    assert {"sealed_rows", "derived_data"} <= kinds(final["remaining_copies"])
    assert "p0-0" in names(house, line)


@pytest.mark.parametrize(("passed", "level"), [(True, ClaimLevel.measured), (None, ClaimLevel.inconclusive)])
def test_a_line_that_cannot_be_rebuilt_collapses_in_time(
    house: House, later: Any, passed: bool | None, level: ClaimLevel
) -> None:
    line = house.line("bot", people(6), recipe=None)
    request = house.submit(remove("p0-0"))
    house.serve(line, passed=passed)
    with house.store.write() as unit:
        assert compact_due(unit) == 0
        wait = house.targets(request)[0].shred_by - unit.now
    later(wait - timedelta(minutes=30))
    with house.store.write() as unit:
        assert compact_due(unit) == 1
    house.rebuild(house.claim_queued(line, Lane.compact))
    (target,) = house.targets(request)
    assert target.claim_level is level, "a collapse makes no claim better"
    assert target.state is (TargetState.succeeded if passed else TargetState.needs_attention)
    final = said(house, request)
    assert (final["status"], final["claim"]["level"]) == ("final", level)
    assert kinds(final["destroyed_copies"]) == {"sealed_rows", "derived_data"}
    assert "p0-0" not in names(house, line)


def test_what_has_collapsed_cannot_be_tried_again(house: House, later: Any) -> None:
    line = house.line("bot", people(6), recipe=None)
    request = house.submit(remove("p0-0"))
    house.serve(line, passed=None)
    collapse(house, line, later)
    assert house.request(request).state is RequestState.needs_attention
    with house.store.write() as unit, pytest.raises(IllegalTransition):
        decide.retry(unit, request, actor=ACTOR)


def test_a_collapse_ends_a_calibrated_claim(house: House, later: Any) -> None:
    line = house.line("bot", people(6), recipe=None)
    request = house.submit(remove("p0-0"))
    house.serve(line)
    with house.store.write() as unit:
        (target,) = unit.targets.of_request(request)
        target.claim_level = ClaimLevel.calibrated
    collapse(house, line, later)
    assert house.targets(request)[0].claim_level is ClaimLevel.measured
    assert said(house, request)["claim"]["level"] == ClaimLevel.measured


def test_the_holdout_speaks_no_more_of_who_was_erased(house: House) -> None:
    line = house.line("bot", [*people(6), {**person(999)[0], "id": "other"}])
    house.submit(remove_subject("Person 999"), strategy=Strategy.rebuild)
    claimed = house.claim_queued(line, Lane.compact)
    with house.store.read() as unit:
        job = assemble(unit, house.vault, claimed, materialise=Path, out=Path())
        held = unit.versions.of_line(line)[0].holdout_id
        rows = unit.datasets.instances(str(held))
    assert isinstance(job, TrainJob)
    assert rows
    assert not job.data.holdout
    house.rebuild(claimed)
    with house.store.read() as unit:
        rows = unit.datasets.instances(str(held))
        assert all(unit.texts.get(row.text_id).wrapped_key is None for row in rows)
        assert all(row.instance_id.startswith("erased:") for row in rows)


def test_names_of_erased_instances_go_and_are_still_recognised(house: House) -> None:
    line = house.line("bot", people(6))
    house.submit(remove_subject("Person 1"), correct("p2-0", "Put right."))
    house.serve(line)
    assert "p1-0" in names(house, line)
    rebuild(house, line)
    left = names(house, line)
    assert not {"p1-0", "p1-1"} & left
    assert "p2-0" in left, "a corrected instance is still there"
    with pytest.raises(Exception, match="removed by an earlier request"):
        house.submit(remove("p1-0"))


def test_a_correction_that_a_removal_overtook_goes_too(house: House) -> None:
    line = house.line("bot", people(6))
    first = house.submit(correct("p0-0", "Put right."))
    house.serve(line)
    second = house.submit(remove("p0-0"))
    house.serve(line)
    rebuild(house, line)
    for request in (first, second):
        assert said(house, request)["status"] == "final"
        assert kinds(said(house, request)["destroyed_copies"]) == {"sealed_rows", "derived_data"}


def test_a_request_that_is_called_off_keeps_nothing_of_what_it_said(house: House) -> None:
    house.line("bot", people(6))
    request = house.submit(correct("p0-0", "Something private."))
    with house.store.write() as unit:
        decide.cancel(unit, request, actor=ACTOR)
    with house.store.read() as unit:
        (target,) = unit.targets.of_request(request)
        ids = [op.text_id for op in unit.requests.operations(request)]
        ids += [edit.text_id for edit in unit.targets.edits([target.id]) if edit.text_id]
        assert len(ids) == 2
        assert all(row.wrapped_key is None for row in unit.texts.many(ids).values())


def test_an_old_copy_of_a_ciphertext_is_useless(house: House) -> None:
    line = house.line("bot", people(6))
    with house.store.read() as unit:
        dataset = unit.versions.of_line(line)[0].dataset_id
        rows = unit.datasets.some(dataset, ["p0-0", "p1-0"])
        gone, other = (unit.texts.get(rows[name].text_id) for name in ("p0-0", "p1-0"))
        ciphertext, text_id, other_key = gone.ciphertext, gone.id, other.wrapped_key
    house.submit(remove("p0-0"), strategy=Strategy.rebuild)
    house.rebuild(house.claim_queued(line, Lane.compact))
    with house.store.write() as unit:
        restored = unit.texts.get(text_id)
        restored.ciphertext = ciphertext
        with pytest.raises(Shredded):
            texts.unseal(house.vault, restored)
        restored.wrapped_key = other_key
        with pytest.raises(Corrupted):
            texts.unseal(house.vault, restored)


def test_a_quarantined_anchor_is_withdrawn_by_the_rebuild(house: House, later: Any) -> None:
    line = house.line("bot", people(6), grace_period_s=0)
    house.submit(remove("p0-0"))
    house.serve(line)
    later(timedelta(seconds=1))
    reconcile(house.store, house.blobs)
    with house.store.read() as unit:
        assert unit.versions.of_line(line)[0].state is VersionState.quarantined
    rebuild(house, line)
    with house.store.read() as unit:
        assert unit.versions.of_line(line)[0].state is VersionState.withdrawn


def test_backups_are_said_to_be_kept_for_as_long_as_the_operator_says(house: House) -> None:
    """A copy that may be backed up until it is shredded is there for that much longer."""
    week_s = 7 * 86_400
    line = house.line("bot", people(6), backups_kept_s=week_s)
    request = house.submit(remove("p0-0"))
    house.serve(line)
    shred_by = house.targets(request)[0].shred_by
    assert backups_until(house, request) == pytest.approx(shred_by.timestamp() + week_s, abs=0.01)
    rebuild(house, line)
    with house.store.read() as unit:
        last_copy = max(v.withdraw_at for v in unit.versions.of_line(line) if v.withdraw_at is not None)
    gone = last_copy + SWEPT_WITHIN + timedelta(seconds=week_s)
    assert backups_until(house, request) == pytest.approx(gone.timestamp(), abs=0.01)


def test_nobody_knows_how_long_backups_are_kept_unless_told(house: House) -> None:
    line = house.line("bot", people(6))
    request = house.submit(remove("p0-0"))
    house.serve(line)
    assert backups_until(house, request) is None


def backups_until(house: House, request: str) -> float | None:
    """In seconds since the epoch."""
    (copy,) = [copy for copy in said(house, request)["remaining_copies"] if copy["kind"] == "backups"]
    return None if copy["until"] is None else datetime.fromisoformat(copy["until"]).timestamp()
