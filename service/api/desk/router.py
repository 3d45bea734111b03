"""Every route of the desk."""

from fastapi import APIRouter

from service.api.desk import (
    documents,
    lines,
    live,
    new_request,
    provider_sign_in,
    records,
    reference,
    request,
    requests,
    sign_in,
    start,
    static,
    summary,
    webhooks,
)

MODULES = (
    static,
    sign_in,
    provider_sign_in,
    start,
    live,
    requests,
    request,
    documents,
    new_request,
    summary,
    lines,
    webhooks,
    records,
    reference,
)

router = APIRouter()
for module in MODULES:
    router.include_router(module.router)
