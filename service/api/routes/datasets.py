"""Datasets: upload once, use in any line."""

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Annotated, BinaryIO

from fastapi import APIRouter, Depends, Path, Query, Request
from fastapi.responses import JSONResponse
from pydantic import TypeAdapter
from starlette.concurrency import run_in_threadpool

from service.api import uploads
from service.api.auth import Caller
from service.api.context import Context, InContext
from service.api.idempotency import Answer, UploadCreation
from service.api.paging import InPages
from service.api.problems import problems, too_large
from service.api.schemas.datasets import DatasetFromUri, DatasetPage, DatasetRead
from service.api.visibility import view_of, visible_dataset
from service.flows import ingest
from service.store.database import Unit
from service.store.sources import open_source
from service.store.tables import Dataset

router = APIRouter(prefix="/v1/datasets", tags=["datasets"])

NDJSON = "application/x-ndjson"
JSON_LINES = (NDJSON, "application/jsonl")
_FROM_URI = TypeAdapter(DatasetFromUri)
_BODY = {
    "requestBody": {
        "required": True,
        "description": "JSON lines: `id`, optional `subject` (one or a list; each an identifier, or an object with "
        "its `kind` and `value`, or `sha256` instead of `value`), and `prompt` with `completion`, or `messages`.",
        "content": {
            NDJSON: {"schema": {"type": "string"}},
            uploads.MULTIPART: {
                "schema": {
                    "type": "object",
                    "required": ["file"],
                    "additionalProperties": False,
                    "properties": {
                        "file": {"type": "string", "format": "binary"},
                        "name": {"type": "string", "maxLength": 200},
                    },
                }
            },
            uploads.JSON: {"schema": {"$ref": "#/components/schemas/DatasetFromUri"}},
        },
    }
}


@dataclass(frozen=True, slots=True)
class DatasetUpload:
    """What was sent: a file, or where it lies. `digest` identifies the body."""

    file: BinaryIO | None
    uri: str | None
    name: str | None
    digest: bytes


async def _receive(
    request: Request,
    _: Caller,
    name: Annotated[str | None, Query(max_length=200, description="A name for people; in forms, a part.")] = None,
) -> AsyncIterator[DatasetUpload]:
    kind = uploads.media_type(request)
    if kind in JSON_LINES:
        async with uploads.spooled(request) as file:
            yield await run_in_threadpool(_uploaded, file, name)
    elif kind == uploads.MULTIPART:
        async with uploads.form(request, "file", "name") as form:
            given = await form.text("name")
            file, label = form.required_file("file"), None if given is None else given.decode(errors="replace")[:200]
            yield await run_in_threadpool(_uploaded, file, label)
    elif kind == uploads.JSON:
        body = await request.body()
        wanted = uploads.parsed(_FROM_URI, body)
        yield DatasetUpload(None, wanted.uri, wanted.name, body)
    else:
        raise uploads.not_accepted(NDJSON, uploads.MULTIPART, uploads.JSON)


def _uploaded(file: BinaryIO, name: str | None) -> DatasetUpload:
    return DatasetUpload(file, None, name, f"{name} {uploads.digest(file)}".encode())


@router.post(
    "",
    status_code=201,
    response_model=DatasetRead,
    responses=problems(400, 404, 413, 415),
    openapi_extra=_BODY,
)
def create_dataset(
    upload: Annotated[DatasetUpload, Depends(_receive)], context: InContext, actor: Caller, creation: UploadCreation
) -> JSONResponse:
    """Upload training instances. Every row is sealed under a key of its own; one broken line refuses all."""
    creation = replace(creation, body_hash=context.vault.hashes.body(upload.digest))
    replayed = creation.replayed()
    if replayed is not None:
        return replayed
    with _opened(upload, context) as file:
        sealed = ingest.read(context.vault, _lines(file, context.settings.max_upload_bytes))

    def effect(unit: Unit) -> Answer:
        row = ingest.record(unit, sealed, name=upload.name, actor=actor.id)
        return Answer(201, _read(row), f"/v1/datasets/{row.id}")

    return creation.once(effect)


@router.get("", responses=problems(400))
def list_datasets(context: InContext, actor: Caller, paging: InPages) -> DatasetPage:
    """List datasets, newest first."""
    with context.store.read() as unit:
        page = unit.datasets.list(after=paging.position("datasets"), limit=paging.limit, view=view_of(actor))
        items = [_read(row) for row in page.items]
    return DatasetPage(items=items, next_cursor=paging.after(page.next, "datasets"))


@router.get("/{dataset_id}", responses=problems(404))
def get_dataset(
    dataset_id: Annotated[str, Path(max_length=48, description="The dataset's id.", examples=["ds_0192…"])],
    context: InContext,
    actor: Caller,
) -> DatasetRead:
    """Read what a dataset holds, in numbers."""
    with context.store.read() as unit:
        return _read(visible_dataset(unit, actor, dataset_id, field="dataset_id"))


@contextmanager
def _opened(upload: DatasetUpload, context: Context) -> Iterator[BinaryIO]:
    if upload.file is not None:
        yield upload.file
        return
    with open_source(str(upload.uri), allowed=context.settings.dataset_uris.split()) as file:
        yield file


def _lines(file: BinaryIO, max_bytes: int) -> Iterator[bytes]:
    """Lines of bounded length: one that is too long comes in pieces, the first of which is refused."""
    size = 0
    while line := file.readline(ingest.MAX_LINE_BYTES + 1):
        size += len(line)
        if size > max_bytes:
            raise too_large(max_bytes)
        yield line


def _read(row: Dataset) -> DatasetRead:
    return DatasetRead.model_validate({name: getattr(row, name) for name in DatasetRead.model_fields})
