"""The migrations make exactly the schema that the tables declare, on both databases."""

from datetime import datetime
from pathlib import Path

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from service.domain.adapters import BaseModelRef, Policy, Strategy
from service.domain.decisions import RejectionCode, Verb
from service.domain.inbound import Provider
from service.domain.runs import RunKind
from service.domain.states import RequestState, TargetState
from service.flows.decisions import decisions_of, note
from service.flows.inbound_endpoints import EndpointOrder, create_endpoint
from service.flows.lines import create_line
from service.flows.vault import open_vault
from service.store.blobs import Blobs
from service.store.database import Store, Unit
from service.store.migrate import at_head, configuration, upgrade
from service.store.tables import ApiToken, Base, Line, OperationRow, Target, UnlearningRequest
from tests.support.house import ACTOR, House, people, remove


def test_the_migrated_schema_is_the_declared_one(database_url: str) -> None:
    store = Store(database_url)
    with store.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []
    store.close()


def test_upgrading_twice_changes_nothing(database_url: str) -> None:
    upgrade(database_url)
    store = Store(database_url)
    assert at_head(store)
    store.close()


def test_an_empty_database_is_behind(empty_database_url: str) -> None:
    store = Store(empty_database_url)
    assert not at_head(store)
    store.close()


def test_every_migration_can_be_undone_and_done_again(database_url: str) -> None:
    command.downgrade(configuration(database_url), "base")
    upgrade(database_url)
    store = Store(database_url)
    with store.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []
    store.close()


def test_a_database_in_use_can_be_taken_back_release_by_release(database_url: str, tmp_path: Path) -> None:
    """With rows that refer to each other, which SQLite's way to drop a column must not trip over."""
    store = Store(database_url)
    house = House(store, open_vault(store, bytes(32)), Blobs((tmp_path / "blobs").as_uri()), tmp_path / "trees")
    line = house.line("bot", people(6))
    house.submit(remove("p1-0"))
    house.serve(line)
    order = EndpointOrder(Provider.shopify, "shop", ("bot",), {}, None, None)
    with store.write() as unit:
        create_endpoint(unit, house.vault, order, "a secret of the shop's", actor=ACTOR)
    store.engine.dispose()
    (head,) = ScriptDirectory.from_config(configuration(database_url)).get_heads()
    for number in reversed(range(1, int(head))):
        command.downgrade(configuration(database_url), f"{number:04}")
        with store.engine.connect() as connection:
            left = connection.exec_driver_sql("SELECT count(*) FROM instances").scalar_one()
        assert left == len(people(6)) + 2, number
        store.engine.dispose()


def test_subjects_of_requests_survive_0012(database_url: str) -> None:
    store = Store(database_url)
    with store.write() as unit:
        unit.texts.add([{"id": "txt_1", "ciphertext": b"", "wrapped_key": None}])
        for name in ("req_1", "req_2"):
            unit.requests.add(a_request(name, unit.now))
            unit.requests.add(
                OperationRow(request_id=name, position=0, type="remove", text_id="txt_1", subject_hash="a")
            )
        unit.requests.name_subjects("req_1", ["a", "b"])
        unit.requests.name_subjects("req_2", ["a"])
    store.engine.dispose()
    command.downgrade(configuration(database_url), "0011")
    upgrade(database_url)
    with store.read() as unit:
        assert unit.requests.subjects(["req_1"]) == {"a", "b"}
        assert unit.requests.subjects(["req_2"]) == {"a"}
    store.close()


def test_rows_survive_0013_and_the_way_back(database_url: str) -> None:
    store = Store(database_url)
    with store.write() as unit:
        unit.requests.add(a_request("req_1", unit.now))
        line = create_line(unit, "bot", BaseModelRef(path="/base"), Policy(), actor="key_1")
        add_target(unit, line, "req_1")
        run = unit.runs.enqueue(line.id, RunKind.rebuild, pool="default", now=unit.now)
    store.engine.dispose()
    command.downgrade(configuration(database_url), "0012")
    upgrade(database_url)
    with store.read() as unit:
        (kept,) = unit.runs.list(after=None, limit=10).items
        assert (kept.id, kept.urgent, kept.not_before, kept.because) == (run, False, None, None)
        request = unit.requests.get("req_1")
        assert request is not None
        assert not request.urgent
        assert [row.run_id for row in unit.runs.unsent(10, unit.now)] == [run]
    store.close()


def add_target(unit: Unit, line: Line, request_id: str) -> None:
    target = Target(
        id="tgt_1", request_id=request_id, line_id=line.id, state=TargetState.queued, strategy=Strategy.rebuild,
        batch="", instance_count=1, shred_by=unit.now, created_at=unit.now,
    )  # fmt: skip
    unit.targets.add(target, [])


def test_reasons_survive_the_way_to_decisions_and_back(database_url: str) -> None:
    store = Store(database_url)
    with store.write() as unit:
        rejected, held, extended, plain = (a_request(f"req_{n}", unit.now) for n in range(4))
        rejected.state, rejected.rejection_code = RequestState.rejected, RejectionCode.no_match
        held.on_hold, extended.extended_at = True, unit.now
        for row, verb in ((rejected, Verb.reject), (held, Verb.hold), (extended, Verb.extend)):
            note(unit, row, verb, actor="key_1", reason=f"because {verb}")
        for row in (rejected, held, extended, plain):
            unit.requests.add(row)
    store.engine.dispose()
    command.downgrade(configuration(database_url), "0011")
    upgrade(database_url)
    with store.read() as unit:
        rows = [unit.requests.get(f"req_{n}") for n in range(4)]
        told = [[(one.verb, one.reason) for one in decisions_of(row)] for row in rows if row is not None]
        assert told == [[(verb, f"because {verb}")] for verb in (Verb.reject, Verb.hold, Verb.extend)] + [[]]
        assert [row.rejection_code for row in rows if row is not None] == [RejectionCode.other, None, None, None]
    store.close()


def a_request(request_id: str, now: datetime) -> UnlearningRequest:
    return UnlearningRequest(
        id=request_id, state=RequestState.queued, received_at=now, due_at=now, created_at=now, created_by="key_1",
        every_line=True, operation_counts={}, receipt={}, decisions=[], on_hold=False,
    )  # fmt: skip


def test_the_keys_of_before_0014_go_on_working_there_and_back(database_url: str) -> None:
    store = Store(database_url)
    command.downgrade(configuration(database_url), "0013")
    with store.engine.begin() as connection:
        connection.exec_driver_sql(
            "INSERT INTO api_keys (id, name, token_hash, scopes, created_at) "
            "VALUES ('key_1', 'k', 'abc', '[]', '2026-01-01 00:00:00')"
        )
    upgrade(database_url)
    with store.write() as unit:
        found = unit.access.token("abc")
        assert found is not None
        assert found[1].id == "key_1"
        unit.access.add(ApiToken(token_hash="newer", key_id="key_1", created_at=unit.now))
    store.engine.dispose()
    command.downgrade(configuration(database_url), "0013")
    with store.engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT token_hash FROM api_keys").scalar_one() == "newer"
    store.close()


def test_the_way_back_from_0002_leaves_only_runs_that_0001_knows(database_url: str) -> None:
    store = Store(database_url)
    with store.write() as unit:
        kept = unit.runs.enqueue("adp_1", RunKind.influence, pool="default", now=unit.now)
        unit.runs.enqueue("adp_1", RunKind.out_of_fold, pool="default", now=unit.now)
    store.engine.dispose()
    command.downgrade(configuration(database_url), "0001")
    upgrade(database_url)
    with store.read() as unit:
        assert [run.id for run in unit.runs.list(after=None, limit=10).items] == [kept]
    store.close()
