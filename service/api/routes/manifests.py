"""Manifests that put a line's version into service in a cluster."""

from typing import Annotated

from fastapi import APIRouter, Path, Query
from fastapi.responses import Response

from service.api.auth import Caller
from service.api.context import InContext
from service.api.parameters import LineName
from service.api.problems import Responses, problems
from service.api.schemas.manifests import ManifestQuery
from service.api.visibility import visible_line
from service.domain.errors import NotFound
from service.flows.alias import check_servable
from service.flows.canary import weight_of
from service.flows.lookup import find_alias
from service.hotswap.manifests import KINDS, Placement, as_yaml
from service.store.database import Unit
from service.store.tables import Line

router = APIRouter(prefix="/v1/adapters/{name}/manifests", tags=["versions"])

YAML = "application/yaml"
_ANSWERS: Responses = {200: {"description": "The manifest.", "content": {YAML: {}}}, **problems(404, 409, 410)}

Kind = Annotated[
    str,
    Path(
        max_length=63,
        description="`inference-model-rewrite`, `lora-adapter` or `dynamo-model`.",
        examples=["inference-model-rewrite"],
    ),
]


@router.get("/{kind}", response_class=Response, responses=_ANSWERS)
def get_manifest(
    name: LineName, kind: Kind, context: InContext, actor: Caller, asked: Annotated[ManifestQuery, Query()]
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
        placement = _placement(unit, line, asked)
    return Response(as_yaml(KINDS[kind](placement)), media_type=YAML)


def _placement(unit: Unit, line: Line, asked: ManifestQuery) -> Placement:
    alias = find_alias(unit, line, asked.alias)
    version = unit.versions.get(alias.version_id)
    check_servable(version)
    return Placement(
        line=line.name,
        number=version.number,
        digest=str(version.digest),
        base_path=line.base_path,
        canary=None if alias.canary_id is None else (unit.versions.get(alias.canary_id).number, weight_of(alias)),
        **asked.model_dump(),
    )
