"""`lethe versions`, `lethe alias` and `lethe rebuild`: a line and its versions."""

from typing import Annotated

import typer

from service.cli.session import Session, talks_to_service
from service.cli.tables.adapters import lines_table, version_table, versions_table
from service.cli.tables.requests import run_table
from service.cli.waiting import wait_for_run
from service.domain.states import RunState


@talks_to_service
def versions(
    session: Session,
    name: Annotated[str | None, typer.Argument(help="A line (support-bot) or version (support-bot@v2).")] = None,
) -> None:
    """List the lines, a line's versions, or show one version."""
    if name is None:
        lines = list(session.client.list_adapters())
        session.output.many(lines, lines_table(lines))
    elif "@" in name:
        adapter, _, number = name.partition("@")
        version = session.client.get_version(adapter, number)
        session.output.one(version, version_table(version))
    else:
        found = list(session.client.list_versions(name))
        session.output.many(found, versions_table(found))


@talks_to_service
def alias(
    session: Session,
    name: Annotated[str, typer.Argument(help="The adapter line.")],
    alias: Annotated[str, typer.Argument(help="The alias, such as production.")],
    version: Annotated[str, typer.Argument(help="Where it shall point: v3, or another alias.")],
    *,
    expected: Annotated[
        str | None, typer.Option(help="Where it must point now; default: wherever it points when we ask.")
    ] = None,
) -> None:
    """Move an alias to a version, unless that would undo an erasure."""
    before = session.client.get_adapter(name).aliases.get(alias)
    moved = session.client.set_alias(name, alias, version, expected=expected or before)
    session.output.one(moved, f"{name}@{alias}: {before or 'new'} → {moved.version}")


@talks_to_service
def rebuild(
    session: Session,
    name: Annotated[str, typer.Argument(help="The adapter line.")],
    *,
    wait: Annotated[bool, typer.Option(help="Wait until the new version is published.")] = True,
) -> None:
    """Retrain a line without its erased data now, which makes its certificates exact."""
    run = session.client.create_rebuild(name)
    if wait:
        run = wait_for_run(session, run.id, label=f"rebuilding {name}")
    session.output.one(run, run_table(run))
    session.end(is_success=not wait or run.state == RunState.succeeded)
