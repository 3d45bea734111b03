"""The OpenAPI document that the app serves: FastAPI's, and the models only hand-written parts refer to."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel

from service.api.schemas.common import Problem
from service.api.schemas.datasets import DatasetFromUri
from service.api.schemas.versions import VersionCreate

_REF = "#/components/schemas/{model}"
# Models that only hand-written parts of the document refer to.
_REFERRED: tuple[type[BaseModel], ...] = (Problem, DatasetFromUri, VersionCreate)


def describe(app: FastAPI) -> None:
    """Make the app serve a document that holds everything its routes refer to."""

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _document(app)
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]


def _document(app: FastAPI) -> dict[str, Any]:
    document = get_openapi(
        title=app.title, version=app.version, summary=app.summary, routes=app.routes, openapi_version="3.1.0"
    )
    schemas: dict[str, Any] = document["components"]["schemas"]
    for model in _REFERRED:
        schema = model.model_json_schema(ref_template=_REF)
        schemas.update(schema.pop("$defs", {}))
        schemas[model.__name__] = schema
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    document["components"]["schemas"] = dict(sorted(schemas.items()))
    return document
