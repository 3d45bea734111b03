"""Adapters for every client of the Hugging Face Hub: `HF_ENDPOINT=https://…/hub`, `HF_TOKEN=<API key>`.

Refusals say in headers what those clients look for. Which one matters: told that a *revision* is not found, they raise
an error; told almost anything else, 410 included, they go on with the copy in their cache. A client that asks for a
commit it has cached does not ask at all, so none of this takes an adapter out of service.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter, Path, Request, Response
from fastapi.responses import RedirectResponse

from service.api.actor import Actor
from service.api.auth import Caller
from service.api.context import InContext
from service.api.downloads import respond
from service.api.errors import HubNotFound
from service.api.parameters import LineName
from service.api.problems import Responses, problems
from service.api.routes.downloads import InConditions
from service.api.schemas.hub import HubFile, HubModel, HubRefs
from service.api.version_files import JSON, OCTETS, representation_of
from service.api.views.hub import hub_files, hub_model, hub_refs
from service.api.visibility import visible_line
from service.domain.errors import Conflict, Gone, NotFound
from service.hotswap.hub import MAIN, Repository, commit_of, find_repository, find_revision, refs
from service.store.database import Unit

router = APIRouter(prefix="/hub", tags=["hub"])

_ERROR_CODES = {
    "unknown-adapter": "RepoNotFound",
    "unknown-repository": "RepoNotFound",
    "unknown-file": "EntryNotFound",
}
_DOWNLOAD: Responses = {
    200: {"description": "All of it.", "content": {OCTETS: {}, JSON: {}}},
    206: {"description": "The range asked for.", "content": {OCTETS: {}, JSON: {}}},
    304: {"description": "You have it already."},
    307: {"description": "The commit that the branch means now."},
    **problems(404, 412, 416),
}

RepositoryName = Annotated[
    str, Path(max_length=63, description="`v3` for one version, `adapter` for the line.", examples=["v3"])
]
Revision = Annotated[
    str, Path(max_length=63, description="`main`, `v3`, an alias or a commit.", examples=["production"])
]
FileName = Annotated[str, Path(max_length=255, description="A file's name.", examples=["adapter_config.json"])]


@router.get("/api/models/{name}/{repository}", responses=problems(404))
def get_hub_model(name: LineName, repository: RepositoryName, context: InContext, actor: Caller) -> HubModel:
    """Read a repository at `main`, as the Hub's clients do."""
    return get_hub_revision(name, repository, MAIN, context, actor)


@router.get("/api/models/{name}/{repository}/revision/{revision}", responses=problems(404))
def get_hub_revision(
    name: LineName, repository: RepositoryName, revision: Revision, context: InContext, actor: Caller
) -> HubModel:
    """Read a repository at a revision, as the Hub's clients do."""
    with _in_hub_words(), context.store.read() as unit:
        found = _repository(unit, actor, name, repository)
        return hub_model(found, find_revision(unit, found, revision))


@router.get("/api/models/{name}/{repository}/tree/{revision}", responses=problems(404))
def list_hub_files(
    name: LineName, repository: RepositoryName, revision: Revision, context: InContext, actor: Caller
) -> list[HubFile]:
    """List a repository's files at a revision, as the Hub's clients do."""
    with _in_hub_words(), context.store.read() as unit:
        return hub_files(find_revision(unit, _repository(unit, actor, name, repository), revision))


@router.get("/api/models/{name}/{repository}/refs", responses=problems(404))
def list_hub_refs(name: LineName, repository: RepositoryName, context: InContext, actor: Caller) -> HubRefs:
    """List a repository's revisions that are in service, as the Hub's clients do."""
    with _in_hub_words(), context.store.read() as unit:
        return hub_refs(refs(unit, _repository(unit, actor, name, repository)))


@router.get("/{name}/{repository}/resolve/{revision}/{file:path}", response_class=Response, responses=_DOWNLOAD)
def download_hub_file(
    name: LineName,
    repository: RepositoryName,
    revision: Revision,
    file: FileName,
    request: Request,
    context: InContext,
    actor: Caller,
    conditions: InConditions,
) -> Response:
    """Download a file at a revision, as the Hub's clients do."""
    with _in_hub_words():
        with context.store.read() as unit:
            found = _repository(unit, actor, name, repository)
            version = find_revision(unit, found, revision)
        item = representation_of(context.blobs, found.line, version, file)
        commit = commit_of(version)
        if found.may_move(revision):
            # Clients ask twice, for the headers and for the content; between the two an alias may move.
            path = request.app.url_path_for(
                "download_hub_file", name=name, repository=repository, revision=commit, file=file
            )
            root = request.scope.get("root_path", "")
            return RedirectResponse(f"{root}{path}", headers={"X-Repo-Commit": commit, "Cache-Control": "no-cache"})
        # The Hub's tags are bare digests: clients name files by them, and check local files against them.
        tag = str(item.sha256)
        headers = {"X-Repo-Commit": commit, "X-Linked-ETag": f'"{tag}"', "X-Linked-Size": str(item.size)}
        return respond(replace(item, tag=tag, headers={**item.headers, **headers}), conditions)


@router.get("/{path:path}", include_in_schema=False)
def refuse_hub_path(path: str, _: Caller) -> None:
    """Everything else that clients may ask of a Hub. Raises HubNotFound."""
    raise HubNotFound(
        NotFound(
            "Only adapters are served here.",
            fix="Name `line/v3` or `line/adapter`, and load the base model from a local directory.",
            code="unknown-repository",
        ),
        "RepoNotFound",
    )


# HEAD is the same operation without a body; it does not get an operation id of its own.
router.head("/{name}/{repository}/resolve/{revision}/{file:path}", include_in_schema=False)(download_hub_file)
router.head("/{path:path}", include_in_schema=False)(refuse_hub_path)


def _repository(unit: Unit, actor: Actor, name: str, repository: str) -> Repository:
    return find_repository(unit, visible_line(unit, actor, name), repository)


@contextmanager
def _in_hub_words() -> Iterator[None]:
    """What is withdrawn or not ready is a revision that is not found."""
    try:
        yield
    except (NotFound, Gone, Conflict) as error:
        raise HubNotFound(error, _ERROR_CODES.get(error.code, "RevisionNotFound")) from None
