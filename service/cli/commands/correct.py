"""`lethe correct`: another prompt, another completion, or both."""

from typing import Annotated

import typer

from service.cli.commands import unlearning
from service.cli.session import Session, talks_to_service
from service.domain.errors import InvalidInput
from service.domain.operations import CorrectResponse, ModifyQuery, Operation


@talks_to_service
def correct(
    session: Session,
    adapter: Annotated[str, typer.Argument(help="The adapter line.")],
    instance: Annotated[str, typer.Argument(help="The id of the instance.")],
    *,
    completion: Annotated[str | None, typer.Option(help="The response it should have had.")] = None,
    prompt: Annotated[str | None, typer.Option(help="The query it should have had.")] = None,
    plan: unlearning.PlanOnly = False,
    wait: unlearning.Wait = True,
    strategy: unlearning.StrategyOption = None,
    reference: unlearning.Reference = None,
    regulation: unlearning.Regulation = None,
    urgent: unlearning.Urgent = False,
) -> None:
    """Make an adapter as if an instance had had another prompt or completion."""
    operations: list[Operation] = []
    if prompt is not None:
        operations.append(ModifyQuery(type="modify_query", instance_id=instance, prompt=prompt))
    if completion is not None:
        operations.append(CorrectResponse(type="correct_response", instance_id=instance, completion=completion))
    if not operations:
        raise InvalidInput("Nothing is named to be corrected.", fix="Give --completion, --prompt, or both.")
    unlearning.run(
        session,
        operations,
        adapters=[adapter],
        plan=plan,
        wait=wait,
        strategy=strategy,
        reference=reference,
        regulation=regulation,
        urgent=urgent,
    )
