"""The OpenAPI document that the app serves: FastAPI's, and the models only hand-written parts refer to."""

from typing import Annotated, Any

from fastapi import FastAPI, Header
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel

from service.api.links import add_links
from service.api.problem_types import problem_types
from service.api.schemas.common import Problem
from service.api.schemas.datasets import DatasetFromUri
from service.api.schemas.versions import VersionCreate
from service.api.schemas.webhooks import WebhookMessage
from service.domain.events import EVENT_TYPES

_REF = "#/components/schemas/{model}"
# Models that only hand-written parts of the document refer to.
_REFERRED: tuple[type[BaseModel], ...] = (Problem, DatasetFromUri, VersionCreate)

_EVENT = "Posted to a webhook endpoint, as Standard Webhooks 1.0.0 has it. The types:\n\n" + "\n".join(
    f"- `{type_}`: {meaning}" for type_, meaning in EVENT_TYPES.items()
)
_ANSWERS: dict[int | str, dict[str, Any]] = {
    "4XX": {"description": "Tried again, over three days; 410 switches the endpoint off."}
}


def describe(app: FastAPI) -> None:
    """Make the app serve a document that holds everything its routes refer to."""

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _document(app)
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]
    app.webhooks.post("event", operation_id="event", status_code=204, responses=_ANSWERS, description=_EVENT)(_event)


def _event(
    body: WebhookMessage,
    webhook_id: Annotated[str, Header(description="Of the message; stays the same when it is sent again.")],
    webhook_timestamp: Annotated[int, Header(description="Of this attempt, in seconds since 1970.")],
    webhook_signature: Annotated[str, Header(description="`v1a,…` or `v1,…`; during a rotation several, by spaces.")],
) -> None:
    """What a webhook endpoint is posted."""


def _document(app: FastAPI) -> dict[str, Any]:
    document = get_openapi(
        title=app.title,
        version=app.version,
        summary=app.summary,
        routes=app.routes,
        webhooks=app.webhooks.routes,
        openapi_version="3.1.0",
    )
    schemas: dict[str, Any] = document["components"]["schemas"]
    for model in _REFERRED:
        schema = model.model_json_schema(ref_template=_REF)
        schemas.update(schema.pop("$defs", {}))
        schemas[model.__name__] = schema
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    document["components"]["schemas"] = dict(sorted(schemas.items()))
    schemas["Problem"]["x-problem-types"] = {
        code: {"status": kind.status, "meaning": kind.meaning, "fix": kind.fix}
        for code, kind in problem_types().items()
        if kind.status is not None
    }
    add_links(document)
    return document
