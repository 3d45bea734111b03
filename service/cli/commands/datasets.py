"""`lethe upload` and `lethe datasets`."""

from pathlib import Path
from typing import Annotated

import typer

from service.cli.session import Session, talks_to_service
from service.cli.tables.adapters import datasets_table


@talks_to_service
def upload(
    session: Session,
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="Instances as JSONL.")],
    *,
    name: Annotated[str | None, typer.Option(help="A name for people; default: the file's.")] = None,
) -> None:
    """Upload a dataset."""
    dataset = session.client.create_dataset(file, name=name)
    session.output.one(dataset, datasets_table([dataset]))


@talks_to_service
def datasets(session: Session) -> None:
    """List the datasets."""
    found = list(session.client.list_datasets())
    session.output.many(found, datasets_table(found))
