"""One call of the API, described: what is sent, and how the answer is read. Nothing here talks to anybody."""

import json
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Generic, TypeAlias, TypeVar
from urllib.parse import quote

import httpx
from pydantic import BaseModel

JSON = "application/json"
CSV = "text/csv"
CHUNK_BYTES = 1 << 20
ANSWER_S = httpx.Timeout(60)
# An upload is as slow as the line, and is checked before it is answered; a long table is as slow.
UPLOAD_S = httpx.Timeout(None, connect=60, pool=60)

T = TypeVar("T")
M = TypeVar("M", bound=BaseModel)
Parameter: TypeAlias = str | int | None


@dataclass(frozen=True, slots=True)
class Json:
    """A JSON body."""

    value: object


@dataclass(frozen=True, slots=True)
class File:
    """A file as the body, streamed from disk."""

    path: Path
    media_type: str


@dataclass(frozen=True, slots=True)
class Form:
    """JSON fields and files as one form, streamed from disk."""

    fields: Mapping[str, object]
    files: Mapping[str, Path]


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """`read` makes the answer of a response that is no refusal.

    `idempotency_key` is there on calls that create something. It belongs to the call, so all attempts share it.
    `redirects`: a redirect is its answer.
    """

    method: str
    path: str
    read: Callable[[httpx.Response], T]
    params: Mapping[str, Parameter] = field(default_factory=dict)
    body: Json | File | Form | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    idempotency_key: str | None = None
    timeout: httpx.Timeout = field(default_factory=lambda: ANSWER_S)
    redirects: bool = False

    @property
    def may_be_repeated(self) -> bool:
        """Whether sending it again does no harm if it was carried out already."""
        return self.method != "POST" or self.idempotency_key is not None

    @contextmanager
    def request(self, http: httpx.Client | httpx.AsyncClient) -> Iterator[httpx.Request]:
        """As a request of either kind of HTTP client, with its files open."""
        with ExitStack() as files:
            content: dict[str, Any] = {}
            headers = {"Accept": JSON, **self.headers}
            if self.idempotency_key is not None:
                headers["Idempotency-Key"] = self.idempotency_key
            match self.body:
                case Json(value):
                    content = {"json": value}
                case File(path, media_type):
                    headers |= {"Content-Type": media_type, "Content-Length": str(path.stat().st_size)}
                case Form(fields, paths):
                    opened = {name: (path.name, files.enter_context(path.open("rb"))) for name, path in paths.items()}
                    content = {"data": {name: json.dumps(value) for name, value in fields.items()}, "files": opened}
            present = {name: value for name, value in self.params.items() if value is not None}
            request = http.build_request(
                self.method, self.path, params=present, headers=headers, timeout=self.timeout, **content
            )
            if isinstance(self.body, File):
                request.stream = _FileStream(self.body.path)
            yield request


class _FileStream(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A file's bytes, for either kind of HTTP client."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __iter__(self) -> Iterator[bytes]:
        with self._path.open("rb") as file:
            while chunk := file.read(CHUNK_BYTES):
                yield chunk

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self:
            yield chunk


@dataclass(frozen=True, slots=True)
class One(Generic[M]):
    """Reads an answer."""

    model: type[M]

    def __call__(self, response: httpx.Response) -> M:
        return self.model.model_validate_json(response.content)


@dataclass(frozen=True, slots=True)
class Every(Generic[M]):
    """Reads a list that comes whole."""

    model: type[M]

    def __call__(self, response: httpx.Response) -> list[M]:
        return [self.model.model_validate(item) for item in response.json()["items"]]


def text(response: httpx.Response) -> str:
    return response.text


def document(response: httpx.Response) -> Mapping[str, Any]:
    """JSON as it is, where others verify or read it."""
    found: Mapping[str, Any] = response.json()
    return found


def nothing(_: httpx.Response) -> None:
    """Reads an answer without a body."""


def path(template: str, **names: str) -> str:
    """A path with names of resources in it."""
    return template.format(**{key: quote(name, safe="") for key, name in names.items()})


def iso(moment: datetime | None) -> str | None:
    """A date as the API takes it."""
    return None if moment is None else moment.isoformat()


def new_key(given: str | None) -> str:
    """The idempotency key that was given, else a fresh one."""
    return given or uuid.uuid4().hex
