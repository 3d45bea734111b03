"""Versions for LoRAX, which resolves its source `pbase` by one call to `PREDIBASE_GATEWAY_ENDPOINT`.

The adapter id is `support-bot/3`. LoRAX reads the files from the bucket by itself, with its own credentials, and asks
once in its life: a version that is withdrawn later stays loaded.
"""

from typing import Annotated

from fastapi import APIRouter, Path

from service.api.auth import Caller
from service.api.context import InContext
from service.api.parameters import LineName
from service.api.problems import problems
from service.api.schemas.lorax import LoraxAdapter
from service.api.visibility import visible_line
from service.domain.errors import Conflict
from service.domain.states import VersionState
from service.flows.alias import check_servable
from service.flows.lookup import find_version
from service.store.blobs import Blobs

router = APIRouter(prefix="/v2/repos", tags=["lorax"])

_S3 = "s3://"


@router.get("/{name}/version/{number}", responses=problems(404, 409, 410))
def get_lorax_adapter(
    name: LineName,
    number: Annotated[int, Path(ge=1, le=999_999_999, description="The version's number.", examples=[3])],
    context: InContext,
    actor: Caller,
) -> LoraxAdapter:
    """Find a version's files in the bucket. Only where blobs are on S3."""
    with context.store.read() as unit:
        version = find_version(unit, visible_line(unit, actor, name), f"v{number}")
    if version.state is VersionState.preparing:
        return LoraxAdapter(status="pending", adapter_path=None)
    if version.state is VersionState.rejected:
        return LoraxAdapter(status="errored", adapter_path=None)
    check_servable(version)
    return LoraxAdapter(status="completed", adapter_path=_folder(context.blobs, str(version.blob_prefix)))


def _folder(blobs: Blobs, prefix: str) -> str:
    """The tree's folder. Its closing slash keeps others out, since LoRAX takes whatever begins like this."""
    address = blobs.address(prefix)
    if not address.startswith(_S3):
        raise Conflict(
            "The blob store is not on S3, the only place LoRAX reads such adapters from.",
            fix="Set LETHE_BLOB_URL to a bucket, or have LoRAX use `/hub` and its source `hub`.",
            code="store-not-on-s3",
        )
    return f"{address}/"
