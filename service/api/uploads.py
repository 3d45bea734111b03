"""Bodies that are too large for memory: spooled to disk while they arrive, gone when the call ends."""

import hashlib
import json
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import BinaryIO, TypeVar, cast

from fastapi import Request
from pydantic import TypeAdapter, ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData, UploadFile

from service.api.body_limit import MAX_JSON_BYTES
from service.api.errors import Malformed, UnsupportedMediaType
from service.api.problems import as_lethe_error
from service.domain.errors import InvalidInput

Model = TypeVar("Model")

MULTIPART = "multipart/form-data"
JSON = "application/json"
_IN_MEMORY_BYTES = 2**20
_MAX_FILES, _MAX_FIELDS = 4, 8


def media_type(request: Request) -> str:
    """The body's media type, without parameters."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def not_accepted(*accepted: str) -> UnsupportedMediaType:
    return UnsupportedMediaType("The body has another media type.", fix=f"Send {' or '.join(accepted)}.")


@asynccontextmanager
async def spooled(request: Request) -> AsyncIterator[BinaryIO]:
    """The raw body as a file."""
    with tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY_BYTES) as file:
        async for chunk in request.stream():
            await run_in_threadpool(file.write, chunk)
        file.seek(0)
        yield cast(BinaryIO, file)


@dataclass(frozen=True, slots=True)
class Form:
    """The parts of a multipart body."""

    data: FormData

    def file(self, name: str) -> BinaryIO | None:
        """A part that is a file.

        Raises:
            InvalidInput: the part is a plain field.
        """
        part = self.data.get(name)
        if part is None:
            return None
        if not isinstance(part, UploadFile):
            raise InvalidInput(
                "The part is no file.", field=name, fix="Send it with a file name.", code="part-is-no-file"
            )
        return part.file

    def required_file(self, name: str) -> BinaryIO:
        """Raises InvalidInput if there is no such part."""
        file = self.file(name)
        if file is None:
            raise InvalidInput("The part is missing.", field=name, fix="Add it to the form.", code="part-missing")
        return file

    async def text(self, name: str) -> bytes | None:
        """A part as bytes, whether it was sent as a field or as a file.

        Raises:
            InvalidInput: it is larger than JSON may be.
        """
        part = self.data.get(name)
        if not isinstance(part, UploadFile):
            return None if part is None else part.encode()
        if (part.size or 0) > MAX_JSON_BYTES:
            raise InvalidInput("The part is too large.", field=name, code="part-too-large")
        return await part.read()


@asynccontextmanager
async def form(request: Request, *known: str) -> AsyncIterator[Form]:
    """The parts of a multipart body; their files are deleted at the end.

    Raises:
        InvalidInput: there is a part with another name.
    """
    async with request.form(max_files=_MAX_FILES, max_fields=_MAX_FIELDS, max_part_size=MAX_JSON_BYTES) as data:
        if not set(data) <= set(known):
            raise InvalidInput(
                "The form has a part that is not known here.",
                fix=f"Send {', '.join(known)} only.",
                code="unknown-part",
            )
        yield Form(data)


def digest(file: BinaryIO) -> str:
    """SHA-256 of a file, hex; it is rewound before and after."""
    file.seek(0)
    sha = hashlib.sha256()
    while chunk := file.read(_IN_MEMORY_BYTES):
        sha.update(chunk)
    file.seek(0)
    return sha.hexdigest()


def parsed(adapter: TypeAdapter[Model], data: bytes, *prefix: str) -> Model:
    """JSON as a model. `prefix`: where in the body it stands."""
    try:
        return adapter.validate_json(data)
    except ValidationError as error:
        found = [{**e, "loc": ("body", *prefix, *e["loc"])} for e in error.errors(include_url=False)]
        raise as_lethe_error(found, _document(data, *prefix)) from None


def _document(data: bytes, *prefix: str) -> object:
    try:
        document: object = json.loads(data)
    except (ValueError, RecursionError):
        raise Malformed("The body is not valid JSON.", fix="Send JSON in UTF-8.", code="malformed-json") from None
    for name in reversed(prefix):
        document = {name: document}
    return document
