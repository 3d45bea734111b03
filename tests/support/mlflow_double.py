"""What MLflow 3.17's model registry does over REST, as far as a mirror can notice.

Numbers are never used again, deleted versions vanish with the aliases that point at them, some alias names are
reserved, sources must not name a host or a local file, and empty lists are left out. `make test-mlflow` asks the
same of a real server.
"""

import re
from dataclasses import dataclass, field
from typing import Annotated, Any

from fastapi import APIRouter, Body, FastAPI, Query, Request
from fastapi.responses import JSONResponse

router = APIRouter(prefix="/api/2.0/mlflow")
Text = Annotated[str, Body()]
Tags = Annotated[list[dict[str, str]], Body()]


@dataclass
class Registered:
    """A registered model. `versions`: those not deleted, by number."""

    tags: dict[str, str]
    made: int = 0
    versions: dict[int, dict[str, Any]] = field(default_factory=dict)
    aliases: dict[str, int] = field(default_factory=dict)


class Refusal(Exception):
    def __init__(self, status: int, code: str) -> None:
        super().__init__(code)
        self.status, self.code = status, code


def mlflow_double() -> FastAPI:
    """An empty registry."""
    app = FastAPI()
    app.state.models = {}
    app.include_router(router)
    app.add_exception_handler(Refusal, _refuse)
    return app


def _refuse(_: Request, refusal: Exception) -> JSONResponse:
    assert isinstance(refusal, Refusal)
    return JSONResponse({"error_code": refusal.code, "message": "…"}, refusal.status)


def _model(request: Request, name: str) -> Registered:
    found = request.app.state.models.get(name)
    if found is None:
        raise Refusal(404, "RESOURCE_DOES_NOT_EXIST")
    model: Registered = found
    return model


def _version(request: Request, name: str, version: str) -> dict[str, Any]:
    found = _model(request, name).versions.get(int(version))
    if found is None:
        raise Refusal(404, "RESOURCE_DOES_NOT_EXIST")
    return found


def _pairs(tags: dict[str, str]) -> dict[str, Any]:
    return {"tags": [{"key": key, "value": value} for key, value in tags.items()]} if tags else {}


@router.post("/registered-models/create")
def create_model(request: Request, name: Text, tags: Tags) -> dict[str, Any]:
    if name in request.app.state.models:
        raise Refusal(400, "RESOURCE_ALREADY_EXISTS")
    request.app.state.models[name] = Registered({tag["key"]: tag["value"] for tag in tags})
    return {"registered_model": {"name": name}}


@router.get("/registered-models/get")
def get_model(request: Request, name: str) -> dict[str, Any]:
    model = _model(request, name)
    aliases = [{"alias": alias, "version": str(number)} for alias, number in model.aliases.items()]
    return {"registered_model": {"name": name, **_pairs(model.tags), **({"aliases": aliases} if aliases else {})}}


@router.post("/registered-models/set-tag")
def tag_model(request: Request, name: Text, key: Text, value: Text) -> dict[str, Any]:
    _model(request, name).tags[key] = value
    return {}


@router.post("/registered-models/alias")
def set_alias(request: Request, name: Text, alias: Text, version: Text) -> dict[str, Any]:
    if not re.fullmatch(r"[\w-]+", alias) or re.fullmatch(r"latest|v\d+", alias, re.IGNORECASE):
        raise Refusal(400, "INVALID_PARAMETER_VALUE")
    _version(request, name, version)
    _model(request, name).aliases[alias] = int(version)
    return {}


@router.delete("/registered-models/alias")
def delete_alias(request: Request, name: Text, alias: Text) -> dict[str, Any]:
    _model(request, name).aliases.pop(alias, None)
    return {}


@router.post("/model-versions/create")
def create_version(request: Request, name: Text, source: Text, tags: Tags) -> dict[str, Any]:
    model = _model(request, name)
    if re.match(r"https?:|ftp:|file:|/|\.", source):
        raise Refusal(400, "INVALID_PARAMETER_VALUE")
    model.made += 1
    model.versions[model.made] = {"source": source, "tags": {tag["key"]: tag["value"] for tag in tags}}
    return {"model_version": {"name": name, "version": str(model.made)}}


@router.get("/model-versions/search")
def search_versions(
    request: Request, filter_: Annotated[str, Query(alias="filter")], max_results: int, page_token: str = ""
) -> dict[str, Any]:
    named = re.fullmatch(r"name='([^']+)'", filter_)
    assert named is not None, filter_
    model, start = request.app.state.models.get(named[1], Registered({})), int(page_token or 0)
    found = [
        {"name": named[1], "version": str(number), "source": version["source"], **_pairs(version["tags"])}
        for number, version in sorted(model.versions.items(), reverse=True)
    ]
    more = {"next_page_token": str(start + max_results)} if start + max_results < len(found) else {}
    return ({"model_versions": found[start : start + max_results]} if found else {}) | more


@router.post("/model-versions/set-tag")
def tag_version(request: Request, name: Text, version: Text, key: Text, value: Text) -> dict[str, Any]:
    _version(request, name, version)["tags"][key] = value
    return {}


@router.delete("/model-versions/delete")
def delete_version(request: Request, name: Text, version: Text) -> dict[str, Any]:
    _version(request, name, version)
    model = _model(request, name)
    del model.versions[int(version)]
    model.aliases = {alias: number for alias, number in model.aliases.items() if number != int(version)}
    return {}
