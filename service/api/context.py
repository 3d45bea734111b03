"""What every route works with, made once when the application starts."""

from dataclasses import dataclass
from typing import Annotated, cast

from fastapi import Depends, Request

from service.api.last_used import LastUsed
from service.api.limits import Limits
from service.api.oidc.code_flow import CodeFlow
from service.api.oidc.provider import Provider
from service.api.pulse import Pulse
from service.api.restoration import Restoration
from service.evidence.domain_certificate import DomainSigner
from service.flows.vault import Vault
from service.settings import Settings
from service.store.blobs import Blobs
from service.store.database import Store


@dataclass(frozen=True, slots=True)
class Context:
    settings: Settings
    store: Store
    vault: Vault
    blobs: Blobs
    pulse: Pulse
    restoration: Restoration
    opendsr: DomainSigner | None
    provider: Provider | None
    code_flow: CodeFlow | None
    limits: Limits
    last_used: LastUsed


# `async` only so that FastAPI does not spend a thread on it.
async def _context(request: Request) -> Context:
    return cast(Context, request.app.state.context)


InContext = Annotated[Context, Depends(_context)]
