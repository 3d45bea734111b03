"""Operations: alive, ready, measured, and which keys sign."""

from typing import Literal, cast

import redis
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from sqlalchemy.exc import SQLAlchemyError

from service.api.context import Context, InContext
from service.api.metrics import Metrics
from service.api.pem import PemResponse
from service.api.problems import Responses, problems
from service.api.schemas.health import JwkSet, Live, Ready, VersionInfo
from service.domain.signing import KeyPurpose
from service.domain.version import ENGINE_VERSION
from service.evidence.keys import jwks
from service.evidence.model_keys import pem
from service.flows.signing_keys import published_keys
from service.flows.vault import signing_now
from service.store.migrate import at_head

router = APIRouter(tags=["operations"])

REDIS_TIMEOUT_S = 0.5
_UNREADY: Responses = {
    503: {
        "description": "The database is away, not migrated, or older than the erasure journal.",
        "model": Ready,
    }
}


@router.get("/livez")
async def get_livez() -> Live:
    """Whether the process answers. Depends on nothing else."""
    return Live(status="ok")


@router.get("/readyz", response_model=Ready, responses=_UNREADY)
def get_readyz(context: InContext) -> JSONResponse:
    """Whether calls can be served. Without Redis requests are still accepted; their runs wait."""
    workers = _workers(context)
    database = workers is not None
    schema = database and at_head(context.store)
    bus = _redis_answers(context.settings.redis_url)
    restored = context.restoration.done
    serves = schema and restored
    status: Literal["ready", "degraded", "unready"] = "unready" if not serves else "ready" if bus else "degraded"
    ready = Ready(
        status=status,
        database=database,
        schema_current=schema,
        erasures_current=restored,
        erasures_pending=0 if restored else context.restoration.pending,
        redis=bus,
        workers=workers or {},
    )
    return JSONResponse(ready.model_dump(), 200 if serves else 503)


def _workers(context: Context) -> dict[str, int] | None:
    """Live workers a pool; None if the database does not answer."""
    try:
        with context.store.read() as unit:
            return dict(unit.runs.pools_alive(unit.now, within_s=context.settings.lease_s))
    except SQLAlchemyError:
        return None


def _redis_answers(url: str) -> bool:
    try:
        with redis.Redis.from_url(url, socket_timeout=REDIS_TIMEOUT_S, socket_connect_timeout=REDIS_TIMEOUT_S) as bus:
            return bool(bus.ping())
    except (redis.RedisError, OSError):
        return False


@router.get("/metrics", response_class=PlainTextResponse)
def get_metrics(request: Request) -> Response:
    """Metrics in Prometheus' text format."""
    metrics = cast(Metrics, request.app.state.metrics)
    return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)


@router.get("/version")
async def get_version_info() -> VersionInfo:
    """Which version runs here."""
    return VersionInfo(version=ENGINE_VERSION, api="v1")


@router.get("/.well-known/jwks.json", responses=problems(503))
def get_jwks(context: InContext) -> JwkSet:
    """The public keys that verify what is signed here. Retired and revoked ones stay, and say that they are."""
    with context.store.read() as unit:
        return JwkSet.model_validate(jwks(published_keys(unit)))


@router.get("/.well-known/model-signing.pem", response_class=PemResponse, responses=problems(503))
def get_model_signing_key(context: InContext) -> Response:
    """The public key that verifies the signatures of versions now, as PEM. The key set has the earlier ones too."""
    with context.store.read() as unit:
        row = signing_now(unit, KeyPurpose.models)
    return PemResponse(pem(row.jwk))
