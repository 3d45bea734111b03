"""`lethe manifest`: a Kubernetes manifest for the version that an alias points at."""

from typing import Annotated

import typer

from service.cli.session import Session, talks_to_service


@talks_to_service
def manifest(
    session: Session,
    name: Annotated[str, typer.Argument(help="The adapter line.")],
    kind: Annotated[str, typer.Argument(help="inference-model-rewrite, lora-adapter or dynamo-model.")],
    *,
    alias: Annotated[str | None, typer.Option(help="Whose version; default: production.")] = None,
    namespace: Annotated[str | None, typer.Option(help="Namespace of the object.")] = None,
    base_model: Annotated[str | None, typer.Option(help="What the cluster calls the base model.")] = None,
    pool: Annotated[str | None, typer.Option(help="The InferencePool.")] = None,
    directory: Annotated[str | None, typer.Option(help="Where servers find a directory for each version.")] = None,
    group: Annotated[str | None, typer.Option(help="API group of InferenceModelRewrite.")] = None,
) -> None:
    """Print a manifest that puts a version into service, for `kubectl apply -f -` or a repository."""
    text = session.client.get_manifest(
        name,
        kind,
        alias=alias,
        namespace=namespace,
        base_model=base_model,
        pool=pool,
        directory=directory,
        group=group,
    )
    session.output.value({"kind": kind, "manifest": text}, text.rstrip("\n"))
