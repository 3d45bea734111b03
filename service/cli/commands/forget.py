"""`lethe forget`: instances, or everything about a data subject."""

from pathlib import Path
from typing import Annotated

import typer

from service.cli.commands import unlearning
from service.cli.session import Session, talks_to_service
from service.domain.errors import InvalidInput
from service.domain.operations import Remove, Selection
from service.domain.subjects import Identity, SubjectKind


@talks_to_service
def forget(
    session: Session,
    adapters: Annotated[
        list[str] | None, typer.Argument(help="Adapter lines. Without any: every line that holds a match.")
    ] = None,
    *,
    subject: Annotated[
        list[str] | None, typer.Option(help="Forget everything about this data subject. May be repeated.")
    ] = None,
    kind: Annotated[
        SubjectKind | None, typer.Option(help="What the subjects' identifiers are. Default: they may be anything.")
    ] = None,
    instance: Annotated[list[str] | None, typer.Option(help="Forget this instance. May be repeated.")] = None,
    file: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="Forget the instances listed in this file."),
    ] = None,
    plan: unlearning.PlanOnly = False,
    wait: unlearning.Wait = True,
    strategy: unlearning.StrategyOption = None,
    reference: unlearning.Reference = None,
    regulation: unlearning.Regulation = None,
    urgent: unlearning.Urgent = False,
) -> None:
    """Make adapters forget instances, or everything about a data subject."""
    instance_ids = [*(instance or ()), *(_ids_in(file) if file is not None else ())]
    operations = [
        Remove(type="remove", select=Selection(subject=Identity(kind=kind, value=name))) for name in subject or ()
    ]
    if instance_ids:
        operations.append(Remove(type="remove", select=Selection(instance_ids=tuple(instance_ids))))
    if not operations:
        raise InvalidInput("Nothing is named to be forgotten.", fix="Give --subject, --instance or --file.")
    unlearning.run(
        session,
        operations,
        adapters=adapters or (),
        plan=plan,
        wait=wait,
        strategy=strategy,
        reference=reference,
        regulation=regulation,
        urgent=urgent,
    )


def _ids_in(file: Path) -> list[str]:
    """Blank lines are skipped. Raises InvalidInput: it is no text."""
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError:
        raise InvalidInput(f"{file} is not text in UTF-8.", field="--file", fix="Write one id a line.") from None
    return [line.strip() for line in lines if line.strip()]
