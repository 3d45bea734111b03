"""Manifests that put a line's version into service in a cluster."""

from typing import Annotated

from fastapi import APIRouter, Path, Query
from fastapi.responses import Response

from service.api.auth import Caller
from service.api.context import InContext
from service.api.problems import Responses, problems
from service.api.visibility import visible_line
from service.domain.errors import NotFound
from service.flows.alias import check_servable
from service.flows.canary import weight_of
from service.flows.lookup import find_alias
from service.flows.new_version import PRODUCTION
from service.hotswap.manifests import KINDS, Placement, RewriteGroup, as_yaml

router = APIRouter(prefix="/v1/adapters/{name}/manifests", tags=["versions"])

YAML = "application/yaml"
_ANSWERS: Responses = {200: {"description": "The manifest.", "content": {YAML: {}}}, **problems(404, 409, 410)}
# RFC 1123, as Kubernetes names namespaces and pools.
_LABEL = r"^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$"


@router.get("/{kind}", response_class=Response, responses=_ANSWERS)
def get_manifest(
    name: Annotated[str, Path(max_length=63, description="The line's name.", examples=["support-bot"])],
    kind: Annotated[
        str,
        Path(
            max_length=63,
            description="`inference-model-rewrite`, `lora-adapter` or `dynamo-model`.",
            examples=["inference-model-rewrite"],
        ),
    ],
    context: InContext,
    actor: Caller,
    alias: Annotated[
        str, Query(max_length=63, description="Whose version to put into service.", examples=["canary"])
    ] = PRODUCTION,
    namespace: Annotated[
        str | None, Query(pattern=_LABEL, description="Its namespace; default: the one it is applied in.")
    ] = None,
    base_model: Annotated[
        str | None,
        Query(
            min_length=1,
            max_length=253,
            description="What the cluster calls the base model; default: its Hub id or directory's name.",
        ),
    ] = None,
    pool: Annotated[
        str | None, Query(pattern=_LABEL, description="The InferencePool; default: one called like the base model.")
    ] = None,
    directory: Annotated[
        str,
        Query(
            pattern=r"^/[A-Za-z0-9_./-]*$",
            max_length=500,
            description="Where servers find a directory for each version, called like the version.",
        ),
    ] = "/adapters",
    group: Annotated[
        RewriteGroup, Query(description="API group of InferenceModelRewrite; the older one is Gateway API's.")
    ] = RewriteGroup.llm_d,
) -> Response:
    """Get a Kubernetes manifest, as YAML, that puts the version an alias points at into service."""
    with context.store.read() as unit:
        line = visible_line(unit, actor, name)
        if kind not in KINDS:
            raise NotFound(
                "There is no such kind of manifest.",
                field="kind",
                fix=f"Ask for {', '.join(KINDS)}.",
                code="unknown-manifest",
                extra={"kinds": list(KINDS)},
            )
        row = find_alias(unit, line, alias)
        version = unit.versions.get(row.version_id)
        check_servable(version)
        canary = None if row.canary_id is None else (unit.versions.get(row.canary_id).number, weight_of(row))
    placement = Placement(
        line=line.name,
        alias=alias,
        number=version.number,
        digest=str(version.digest),
        base_path=line.base_path,
        canary=canary,
        namespace=namespace,
        base_model=base_model,
        pool=pool,
        directory=directory,
        group=group,
    )
    return Response(as_yaml(KINDS[kind](placement)), media_type=YAML)
