"""Versions of a line: train, import, read."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Annotated, Any, assert_never

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import JSONResponse
from pydantic import TypeAdapter
from starlette.concurrency import run_in_threadpool

from service.api import uploads
from service.api.actor import Actor
from service.api.auth import Caller
from service.api.context import Context, InContext
from service.api.idempotency import Answer, Creation, UploadCreation
from service.api.paging import InPages
from service.api.parameters import LineName, VersionName
from service.api.problems import problems
from service.api.schemas.versions import ImportSource, Source, TrainSource, VersionCreate, VersionPage, VersionRead
from service.api.views.adapters import version_headers, version_read
from service.api.visibility import visible_dataset, visible_line
from service.domain.errors import InvalidInput
from service.domain.probes import Probe
from service.domain.runs import RunKind
from service.flows.add_version import VersionSource, add_version
from service.flows.lookup import find_version
from service.flows.probe import probe_of
from service.flows.take_import import ImportUpload, StoredImport, discard, take_import
from service.store.database import Unit

router = APIRouter(prefix="/v1/adapters/{name}/versions", tags=["versions"])


_CREATE = TypeAdapter(VersionCreate)
_SOURCE: TypeAdapter[TrainSource | ImportSource] = TypeAdapter(Source)
_PARTS = ("source", "archive", "training_record")
_ARCHIVE = {"type": "string", "format": "binary", "description": "`.zip`, `.tar` or `.tar.gz`."}
_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            uploads.JSON: {"schema": {"$ref": "#/components/schemas/VersionCreate"}},
            uploads.MULTIPART: {
                "schema": {
                    "type": "object",
                    "required": ["source", "archive"],
                    "additionalProperties": False,
                    "properties": {
                        "source": {"$ref": "#/components/schemas/ImportSource"},
                        "archive": _ARCHIVE,
                        "training_record": _ARCHIVE,
                    },
                }
            },
        },
    }
}


@dataclass(frozen=True, slots=True)
class VersionUpload:
    """What was sent: the source and, for an import, its files. `digest` identifies the body."""

    source: TrainSource | ImportSource
    files: ImportUpload | None
    digest: bytes


async def _receive(request: Request, _: Caller) -> AsyncIterator[VersionUpload]:
    kind = uploads.media_type(request)
    if kind == uploads.JSON:
        body = await request.body()
        yield VersionUpload(uploads.parsed(_CREATE, body).source, None, body)
    elif kind == uploads.MULTIPART:
        async with uploads.form(request, *_PARTS) as form:
            source = await form.text("source")
            if source is None:
                raise InvalidInput("The part is missing.", field="source", fix="Add it as JSON.", code="part-missing")
            files = ImportUpload(form.required_file("archive"), form.file("training_record"))
            yield await run_in_threadpool(_uploaded, source, files)
    else:
        raise uploads.not_accepted(uploads.JSON, uploads.MULTIPART)


def _uploaded(source: bytes, files: ImportUpload) -> VersionUpload:
    parts = [uploads.digest(file) for file in (files.archive, files.record) if file is not None]
    return VersionUpload(uploads.parsed(_SOURCE, source, "source"), files, b"\0".join([source, str(parts).encode()]))


@router.post(
    "",
    status_code=202,
    response_model=VersionRead,
    responses=problems(400, 404, 409, 413, 415),
    openapi_extra=_BODY,
)
def create_version(
    name: LineName,
    upload: Annotated[VersionUpload, Depends(_receive)],
    context: InContext,
    actor: Caller,
    creation: UploadCreation,
) -> JSONResponse:
    """Train a line's next version, or import one. It is `preparing` until a worker has done it."""
    creation = replace(creation, body_hash=context.vault.hashes.body(upload.digest))
    replayed = creation.replayed()
    if replayed is not None:
        return replayed
    base_path = _check_references(context, actor, name, upload.source)
    match upload.source:
        case TrainSource() as source:
            _refuse_files(upload)
            wanted = VersionSource(
                RunKind.train, source.dataset, source.holdout, source.recipe, source.training_format
            )
            return _created(creation, actor, name, wanted)
        case ImportSource() as source:
            stored = take_import(context.blobs, _files(upload), base_path=base_path, recipe=source.recipe)
            return _imported(context, creation, actor, name, source, stored)
        case _ as never:
            assert_never(never)


def _check_references(context: Context, actor: Actor, name: str, source: TrainSource | ImportSource) -> str:
    """Refuse unknown names before an upload is unpacked; returns the path of the line's base model."""
    with context.store.read() as unit:
        line = visible_line(unit, actor, name)
        visible_dataset(unit, actor, source.dataset, field="/source/dataset")
        if source.holdout is not None:
            visible_dataset(unit, actor, source.holdout, field="/source/holdout")
        return line.base_path


def _refuse_files(upload: VersionUpload) -> None:
    if upload.files is not None:
        raise InvalidInput("Training takes no archive.", field="archive", fix="Send JSON.", code="archive-not-wanted")


def _files(upload: VersionUpload) -> ImportUpload:
    if upload.files is None:
        raise InvalidInput(
            "An import comes with its archive.",
            field="archive",
            fix="Send multipart/form-data with the parts `source` and `archive`.",
            code="archive-missing",
        )
    return upload.files


def _imported(
    context: Context, creation: Creation, actor: Actor, name: str, source: ImportSource, stored: StoredImport
) -> JSONResponse:
    """Add the version, or delete the upload if that is refused or was done by a call that was faster."""
    wanted = VersionSource(
        RunKind.import_,
        source.dataset,
        source.holdout,
        source.recipe,
        source.training_format,
        archive=stored.archive,
        record=stored.record,
        lora=stored.lora,
        expected_losses=source.expected_losses,
    )
    try:
        response = _created(creation, actor, name, wanted)
    except BaseException:
        discard(context.blobs, stored)
        raise
    if "Idempotency-Replayed" in response.headers:
        discard(context.blobs, stored)
    return response


def _created(creation: Creation, actor: Actor, name: str, wanted: VersionSource) -> JSONResponse:
    def effect(unit: Unit) -> Answer:
        version = add_version(unit, name, wanted, actor=actor.id)
        read = version_read(unit, unit.lines.get(version.line_id), version)
        return Answer(202, read, f"/v1/adapters/{name}/versions/{read.version}")

    return creation.once(effect)


@router.get("", responses=problems(400, 404))
def list_versions(name: LineName, context: InContext, actor: Caller, paging: InPages) -> VersionPage:
    """List a line's versions, newest first."""
    filters = {"adapter": name}
    with context.store.read() as unit:
        line = visible_line(unit, actor, name)
        after = paging.position("versions", filters)
        page = unit.versions.page_of_line(line.id, after=after, limit=paging.limit)
        items = [version_read(unit, line, version) for version in page.items]
    return VersionPage(items=items, next_cursor=paging.after(page.next, "versions", filters))


@router.get("/{version}", responses=problems(404))
def get_version(name: LineName, version: VersionName, context: InContext, actor: Caller) -> VersionRead:
    """Read a version. Withdrawn ones stay readable; their files do not."""
    with context.store.read() as unit:
        line = visible_line(unit, actor, name)
        return version_read(unit, line, find_version(unit, line, version))


@router.get("/{version}/probe", responses=problems(404, 409, 410))
def get_probe(name: LineName, version: VersionName, context: InContext, actor: Caller, response: Response) -> Probe:
    """Read how to tell by its answers whether an inference server really uses a version.

    Send it the prompts as token ids, ask for the log-probabilities of the likeliest next tokens, and compare.
    The header `X-Lethe-Version` names the version, where it was asked for by an alias.
    """
    with context.store.read() as unit:
        line = visible_line(unit, actor, name)
        row = find_version(unit, line, version)
        probe = probe_of(row)
    response.headers.update(version_headers(line, row))
    return probe
