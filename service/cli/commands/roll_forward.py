"""`lethe roll-forward`: be like an older version again, but for what was erased since."""

from typing import Annotated

import typer

from service.cli.session import Session, talks_to_service
from service.cli.tables.adapters import roll_forward_table, version_table
from service.cli.waiting import wait_for_run
from service.domain.states import VersionState


@talks_to_service
def roll_forward(
    session: Session,
    name: Annotated[str, typer.Argument(help="The adapter line.")],
    version: Annotated[str, typer.Argument(help="The older version: v1; it may be withdrawn.")],
    *,
    plan: Annotated[bool, typer.Option("--plan", help="Show what would be trained, and change nothing.")] = False,
    wait: Annotated[bool, typer.Option(help="Wait until the new version is ready.")] = True,
) -> None:
    """Train an older version's recipe anew, without what was removed since and with what was corrected."""
    if plan:
        planned = session.client.plan_roll_forward(name, version)
        session.output.one(planned, roll_forward_table(planned))
        return
    made = session.client.create_roll_forward(name, version)
    if wait and made.run is not None:
        wait_for_run(session, made.run, label=f"{name}@{made.version}, like {version}")
        made = session.client.get_version(name, made.version)
    session.output.one(made, version_table(made))
    session.end(is_success=not wait or made.state == VersionState.ready)
