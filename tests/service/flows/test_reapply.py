"""The restore drill: a backup of the database comes back, and nobody who was forgotten comes back with it."""

from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import select

from service.domain.adapters import Strategy
from service.domain.errors import Shredded, Suppressed
from service.domain.states import Outcome, RequestState, TargetState, VersionState
from service.flows import decide, texts
from service.flows.journal import write_waiting
from service.flows.reapply import reapply
from service.flows.reconcile import reconcile
from service.flows.refile import LOST
from service.flows.retire import retire
from service.flows.vault import open_vault
from service.store.database import Store
from service.store.migrate import upgrade
from service.store.tables import AuditRow, SealedText
from tests.support.drill import SUBJECT, Drill, rebuild
from tests.support.house import ACTOR, House, correct, people, person, remove, remove_subject


def served(house: House, line: str) -> tuple[set[str], set[str]]:
    """Aliases with the versions that they point at, and the versions in service."""
    with house.store.read() as unit:
        aliases = {f"{a.name}=v{unit.versions.get(a.version_id).number}" for a in unit.lines.aliases(line)}
        return aliases, {f"v{v.number}" for v in unit.versions.of_line(line, VersionState.ready)}


def test_without_a_restore_there_is_nothing_to_do(house: House, drill: Drill) -> None:
    line = house.line("bot", people(6))
    house.submit(remove_subject(SUBJECT))
    house.serve(line)
    write_waiting(house.store, drill.journal)
    before = served(house, line)
    assert drill.reapply() == 0
    assert served(house, line) == before == ({"production=v2"}, {"v1", "v2"})


def test_an_erasure_that_the_backup_does_not_know_is_made_again(house: House, drill: Drill) -> None:
    line = house.line("bot", people(6))
    drill.back_up()
    request = house.submit(remove_subject(SUBJECT), regulation="gdpr")
    filed = house.request(request)
    house.serve(line)
    drill.lose_and_restore()
    assert served(house, line) == ({"production=v1"}, {"v1"}), "v1 remembers: the backup brought it back"

    assert drill.reapply() > 0
    assert served(house, line) == (set(), set()), "what remembers is not served"
    again = house.request(request)
    assert (again.state, again.receipt, again.due_at) == (RequestState.queued, filed.receipt, filed.due_at)
    assert {edit.instance_id for edit in edits(house, request)} == {"p1-0", "p1-1"}

    house.serve(line)
    assert served(house, line) == ({"production=v3"}, {"v3"}), "v2 was given out before: no number is used again"
    assert house.request(request).outcome is Outcome.done
    audited = actions(house)
    assert {"erasures.reapplied", "request.restored"} <= audited


def edits(house: House, request: str) -> list[object]:
    with house.store.read() as unit:
        return list(unit.targets.edits([target.id for target in unit.targets.of_request(request)]))


def actions(house: House) -> set[str]:
    with house.store.read() as unit:
        return set(unit.session.scalars(select(AuditRow.action)))


def test_the_suppression_list_is_back_before_anything_is_trained(house: House, drill: Drill) -> None:
    line = house.line("bot", people(6))
    drill.back_up()
    house.submit(remove_subject(SUBJECT))
    house.serve(line)
    drill.restore_and_reapply()
    house.line("other", people(2, facts=1)[:1])
    with pytest.raises(Suppressed):
        house.train("other", house.dataset(person(1)))
    texts_only = [{**row, "id": f"new-{row['id']}", "subject": "somebody else"} for row in person(1)]
    with pytest.raises(Suppressed):
        house.train("other", house.dataset(texts_only))


def test_keys_that_were_destroyed_are_destroyed_again(house: House, drill: Drill) -> None:
    line = house.line("bot", people(6))
    drill.back_up()
    with house.store.read() as unit:
        dataset = unit.versions.of_line(line)[0].dataset_id
        rows = unit.datasets.some(dataset, ["p1-0", "p1-1", "p2-0"])
        text_ids = {name: row.text_id for name, row in rows.items()}
        trees = unit.trees.open_of_line(line)
    request = house.submit(remove_subject(SUBJECT))
    house.serve(line)
    rebuild(house, line)
    reconcile(house.store, house.blobs)
    drill.lose_and_restore()
    assert opens(house, text_ids["p1-0"]), "positive control: with the backup the key came back"

    assert drill.reapply() > 0
    assert not opens(house, text_ids["p1-0"])
    assert not opens(house, text_ids["p1-1"])
    assert opens(house, text_ids["p2-0"]), "nobody else is forgotten"
    with house.store.read() as unit:
        assert all(row.wrapped_key is None for row in unit.trees.many(trees).values())
        assert {row.instance_id for row in unit.datasets.instances(dataset)} & {"p1-0", "p1-1"} == set()
    [target] = house.targets(request)
    assert target.strategy is Strategy.rebuild, "what updates are solved from is gone"

    rebuild(house, line)
    assert house.request(request).outcome is Outcome.done
    assert house.targets(request)[0].claim_level == "E"
    aliases, _ = served(house, line)
    assert aliases == {"production=v4"}


def opens(house: House, text_id: str) -> bool:
    with house.store.read() as unit:
        try:
            texts.unseal(house.vault, unit.texts.get(text_id))
        except Shredded:
            return False
        return True


def test_a_rebuild_that_the_backup_does_not_know_is_made_again(house: House, drill: Drill) -> None:
    """Answered before the backup, rebuilt after it: the version that answered is still good, its anchor is gone."""
    line = house.line("bot", people(6), grace_period_s=0)
    request = house.submit(remove_subject(SUBJECT))
    house.serve(line)
    drill.back_up()
    rebuild(house, line)
    reconcile(house.store, house.blobs)
    drill.restore_and_reapply()
    with house.store.read() as unit:
        assert [t.id for t in unit.targets.of_request(request)], "it is the same request"
    reconcile(house.store, house.blobs)
    rebuild(house, line)
    assert house.targets(request)[0].claim_level == "E"
    assert house.request(request).outcome is Outcome.done


def test_a_request_that_the_backup_knows_is_not_filed_twice(house: House, drill: Drill) -> None:
    line = house.line("bot", people(6))
    request = house.submit(remove_subject(SUBJECT))
    drill.back_up()
    house.serve(line)
    drill.restore_and_reapply()
    assert served(house, line) == (set(), set())
    assert house.request(request).state is RequestState.queued
    house.serve(line)
    assert served(house, line)[0] == {"production=v3"}
    with house.store.read() as unit:
        assert len(unit.requests.list(after=None, limit=10).items) == 1


def test_what_was_approved_since_the_backup_needs_no_second_approval(house: House, drill: Drill) -> None:
    line = house.line("bot", people(6), require_approval=True)
    known = house.submit(remove("p1-0"))
    drill.back_up()
    unknown = house.submit(remove("p2-0"))
    for request in (known, unknown):
        with house.store.write() as unit:
            decide.approve(unit, request, actor="somebody else")
    house.serve(line)
    drill.restore_and_reapply()
    for request in (known, unknown):
        assert house.request(request).state is RequestState.queued
    house.serve(line)
    for request in (known, unknown):
        assert house.request(request).outcome is Outcome.done


def test_what_was_released_and_answered_since_the_backup_is_not_on_hold(house: House, drill: Drill) -> None:
    line = house.line("bot", people(6))
    request = house.submit(remove("p0-0"))
    decide_on(house, decide.hold, request, reason=None)
    drill.back_up()
    decide_on(house, decide.release, request)
    house.serve(line)
    drill.restore_and_reapply()
    house.serve(line)
    assert house.request(request).outcome is Outcome.done
    assert not house.request(request).on_hold


def test_what_was_not_answered_everywhere_may_be_on_hold_for_the_rest(house: House, drill: Drill) -> None:
    answered, held = house.line("bot", people(6)), house.line("other", people(6))
    request = house.submit(remove_subject(SUBJECT))
    decide_on(house, decide.hold, request, reason=None)
    drill.back_up()
    decide_on(house, decide.release, request)
    house.serve(answered)
    drill.restore_and_reapply()
    assert house.request(request).on_hold
    assert served(house, answered) == (set(), set()), "what remembers is not served"
    assert served(house, held) == ({"production=v1"}, {"v1"})


def decide_on(house: House, decision: Callable[..., object], request: str, **why: object) -> None:
    with house.store.write() as unit:
        decision(unit, request, actor=ACTOR, **why)


def test_a_lost_correction_waits_for_somebody_who_knows_the_text(house: House, drill: Drill) -> None:
    line = house.line("bot", people(6))
    drill.back_up()
    corrected = house.submit(correct("p1-0", "The truth about Zoltan."))
    mixed = house.submit(correct("p2-0", "More truth."), remove("p3-0"))
    house.serve(line)
    drill.restore_and_reapply()
    assert served(house, line) == (set(), set()), "what has the old answer is not served"
    for request in (corrected, mixed):
        again = house.request(request)
        assert again.state is RequestState.needs_attention
        assert again.failure is not None
        assert again.failure["code"] == LOST
    assert [edit.instance_id for edit in edits(house, mixed)] == ["p3-0"]  # type: ignore[attr-defined]


def test_a_line_that_was_retired_stays_retired(house: House, drill: Drill) -> None:
    line = house.line("bot", people(6))
    house.line("other", people(6))
    drill.back_up()
    with house.store.write() as unit:
        retire(unit, house.vault, "bot", actor=ACTOR, reason="It is over.")
    drill.restore_and_reapply()
    with house.store.read() as unit:
        assert unit.lines.get(line).retired_at is not None
    assert served(house, line) == (set(), set())


def test_versions_whose_files_went_since_the_backup_leave_service(house: House, drill: Drill) -> None:
    line = house.line("bot", people(6), grace_period_s=0)
    house.submit(remove("p1-0"))
    house.serve(line)
    drill.back_up()
    house.submit(remove("p2-0"))
    house.serve(line)
    rebuild(house, line)
    reconcile(house.store, house.blobs)
    drill.restore_and_reapply()
    with house.store.read() as unit:
        for version in unit.versions.of_line(line):
            assert version.blob_prefix is None or house.blobs.exists_tree(version.blob_prefix)


def test_an_alias_outlives_the_trial_of_a_version_whose_files_went(house: House, drill: Drill) -> None:
    line = house.line("bot", people(6), promotion="canary", canary={"hold_s": 3600})
    other = house.line("other", people(6))
    house.submit(remove("p1-0"), adapters=["bot"])
    house.serve(line)
    drill.back_up()
    with house.store.write() as unit:
        tried = next(v for v in unit.versions.of_line(line) if v.number == 2)
        assert tried.blob_prefix is not None
        house.blobs.delete_tree(tried.blob_prefix)
    house.submit(remove("p1-0"), adapters=["other"])
    house.serve(other)
    drill.restore_and_reapply()
    assert served(house, line) == ({"production=v1"}, {"v1"})
    with house.store.read() as unit:
        (alias,) = unit.lines.aliases(line)
        assert alias.canary_id is None


def test_files_that_no_row_names_any_more_are_deleted(house: House, drill: Drill) -> None:
    """They remember people who are forgotten later."""
    line = house.line("bot", people(6))
    drill.back_up()
    kept = house.blobs.names("runs")
    house.submit(remove("p1-0"))
    house.serve(line)
    assert house.blobs.names("runs") > kept
    drill.restore_and_reapply()
    assert house.blobs.names("runs") == kept


def test_two_restores_of_one_backup_are_like_one(house: House, drill: Drill) -> None:
    line = house.line("bot", people(6))
    drill.back_up()
    request = house.submit(remove_subject(SUBJECT))
    house.serve(line)
    drill.restore_and_reapply()
    house.serve(line)
    drill.restore_and_reapply()
    assert drill.reapply() == 0
    house.serve(line)
    assert house.request(request).outcome is Outcome.done
    assert served(house, line)[0] == {"production=v4"}


def test_a_database_that_was_lost_altogether_still_refuses_who_was_forgotten(
    house: House, drill: Drill, tmp_path: Path
) -> None:
    line = house.line("bot", people(6))
    house.submit(remove_subject(SUBJECT))
    house.serve(line)
    write_waiting(house.store, drill.journal)
    upgrade(f"sqlite:///{tmp_path}/new.db")
    store = Store(f"sqlite:///{tmp_path}/new.db")
    empty = House(store, open_vault(store, bytes(range(32))), house.blobs, tmp_path / "new")
    assert reapply(store, empty.vault, empty.blobs, drill.journal) > 0
    with pytest.raises(Suppressed):
        empty.line("bot", people(6))
    store.close()


def test_shredded_rows_hold_nothing(house: House, drill: Drill) -> None:
    line = house.line("bot", people(6))
    drill.back_up()
    house.submit(remove_subject(SUBJECT))
    house.serve(line)
    rebuild(house, line)
    drill.restore_and_reapply()
    with house.store.read() as unit:
        gone = unit.session.scalars(select(SealedText).where(SealedText.shredded_at.is_not(None))).all()
        assert gone
        assert {(row.ciphertext, row.wrapped_key) for row in gone} == {(b"", None)}
        assert not [t for t in unit.targets.in_state(line, list(TargetState)) if t.state is TargetState.failed]
