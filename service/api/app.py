"""The application: routes, handlers and middleware around one deployment's store, vault and blobs."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import cache

from fastapi import APIRouter, Depends, FastAPI
from fastapi.routing import APIRoute
from sqlalchemy.exc import IntegrityError

from service.api import problems
from service.api.auth import authenticate
from service.api.body_limit import BodyLimit
from service.api.context import Context
from service.api.description import describe
from service.api.desk.router import router as desk
from service.api.last_used import LastUsed
from service.api.limits import Limits
from service.api.metrics import Metrics
from service.api.observe import Observe
from service.api.oidc.code_flow import code_flow_of
from service.api.oidc.provider import provider_of
from service.api.pulse import Pulse
from service.api.query_guard import refuse_unknown_parameters
from service.api.quota_headers import QuotaHeaders
from service.api.restoration import Gate, Restoration
from service.api.routes import (
    adapters,
    audit,
    canaries,
    datasets,
    downloads,
    drp,
    events,
    health,
    hub,
    inbound,
    inbound_endpoints,
    keys,
    lorax,
    manifests,
    opendsr,
    plans,
    reports,
    request_lists,
    requests,
    roll_forwards,
    runs,
    serving_targets,
    signing_keys,
    status_callbacks,
    versions,
    webhook_deliveries,
    webhook_endpoints,
)
from service.domain.version import ENGINE_VERSION
from service.evidence.domain_certificate import DomainSigner
from service.flows.journal import journal_of
from service.flows.keys import ensure_admin_key
from service.flows.vault import Vault
from service.settings import Settings
from service.store.blobs import Blobs
from service.store.database import Store

# Documented order. All but `health`, `inbound` and `drp` ask for a key.
RESOURCES = (
    datasets,
    adapters,
    canaries,
    versions,
    downloads,
    roll_forwards,
    manifests,
    plans,
    request_lists,
    requests,
    reports,
    status_callbacks,
    runs,
    events,
    audit,
    serving_targets,
    webhook_endpoints,
    webhook_deliveries,
    keys,
    signing_keys,
    inbound_endpoints,
    opendsr,
    hub,
    lorax,
)
# Their clients are not ours, and may send parameters that mean something to other servers.
FOREIGN = (opendsr, hub, lorax)


def create_app(settings: Settings, store: Store, vault: Vault, blobs: Blobs) -> FastAPI:
    """The API over a migrated database. If the settings name an admin key, it is accepted from now on."""
    if settings.admin_key is not None:
        # Of several processes that start at once, one writes the key.
        with suppress(IntegrityError), store.write() as unit:
            ensure_admin_key(unit, vault, settings.admin_key.get_secret_value())
    app = bare_app()
    metrics, provider = Metrics(store, settings), provider_of(settings, vault.hashes.person)
    restoration = Restoration(store, vault, blobs, journal_of(settings, vault))
    app.state.context = Context(
        settings,
        store,
        vault,
        blobs,
        pulse=Pulse(store),
        restoration=restoration,
        opendsr=DomainSigner.of(settings),
        provider=provider,
        code_flow=code_flow_of(settings, provider),
        limits=Limits(settings),
        last_used=LastUsed(store),
    )
    app.state.metrics = metrics
    app.add_middleware(QuotaHeaders)
    app.add_middleware(BodyLimit, upload_bytes=settings.max_upload_bytes)
    app.add_middleware(Gate, restoration=restoration)
    app.add_middleware(Observe, metrics=metrics)
    return app


def bare_app() -> FastAPI:
    """Routes and handlers without anything behind them, which is all that the OpenAPI document needs."""
    app = FastAPI(
        title="Lethe",
        version=ENGINE_VERSION,
        summary="Unlearning as a service for LoRA-tuned language models",
        lifespan=_lifespan,
        generate_unique_id_function=_operation_id,
        redirect_slashes=False,
        docs_url=None,
        redoc_url=None,
        routes=_router().routes,
    )
    problems.install(app)
    describe(app)
    return app


@cache
def _router() -> APIRouter:
    """Every route. One for all apps of a process, because FastAPI spends a while on each route at its first use."""
    router = APIRouter(redirect_slashes=False, generate_unique_id_function=_operation_id)
    for module in RESOURCES:
        guards = [Depends(authenticate)]
        if module not in FOREIGN:
            guards.append(Depends(refuse_unknown_parameters))
        router.include_router(
            module.router,
            dependencies=guards,
            responses=problems.problems(401, 403, 422, 429, 500, 503),
        )
    # Its deliveries are refused unless they prove that an endpoint's sender made them (scopes.BY_SIGNATURE).
    router.include_router(inbound.router)
    # So are its calls, without a token for which an agent signed (scopes.BY_AGENT).
    router.include_router(drp.router)
    router.include_router(opendsr.open_router)
    router.include_router(health.router)
    # Its pages ask for a session instead of a key.
    router.include_router(desk)
    return router


def _operation_id(route: APIRoute) -> str:
    return route.name


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    context: Context = app.state.context
    loops = (context.pulse.beat(), context.last_used.beat(), context.restoration.run())
    tasks = [asyncio.create_task(loop) for loop in loops]
    yield
    for task in tasks:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
