"""Asking Lethe, with nothing but the standard library: no redirects, no proxies, certificates checked.

Calls block; the resolver makes them in threads of its own.
"""

import hashlib
import http.client
import json
import ssl
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from .names import parse

TIMEOUT_S = 10.0
DOWNLOAD_S = 600.0
_CHUNK = 1 << 20
_MOST_JSON = 16 << 20
_PAGE = 200


class Unreachable(Exception):
    """No answer, or one that says nothing about the version: the network, 429, 5xx."""


class Refused(Exception):
    """A definite no, with its status."""

    def __init__(self, status: int) -> None:
        super().__init__(f"Lethe answered {status}")
        self.status = status


class Damaged(Exception):
    """What came is not what was announced."""


@dataclass(frozen=True, slots=True)
class File:
    """SHA-256 in hex, and bytes."""

    sha256: str
    size: int


@dataclass(frozen=True, slots=True)
class Version:
    """A version as Lethe describes it. `digest` is over `files`, and was recomputed from them."""

    id: str
    state: str
    digest: str
    files: Mapping[str, File]


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to a line. `version` and `alias` are there where it concerns one."""

    type: str
    line: str | None
    version: str | None
    alias: str | None


class Lethe:
    """A deployment, by its URL and a key."""

    def __init__(self, url: str, api_key: str) -> None:
        parts = urlsplit(url)
        self._host, self._port, self._prefix = parts.hostname or "", parts.port, parts.path
        self._tls = ssl.create_default_context() if parts.scheme == "https" else None
        self._headers = {"Authorization": f"Bearer {api_key}", "Accept-Encoding": "identity"}

    def version(self, line: str, selector: str) -> Version:
        """A version by `v3` or by an alias.

        Raises:
            Unreachable, Refused, Damaged: see there.
        """
        match self._json(f"/v1/adapters/{quote(line)}/versions/{quote(selector)}"):
            case {"id": str(id_), "state": str(state), "digest": digest, "files": files}:
                name, listed = parse(id_, aliases=False), _files(files)
                if name is None or name.line != line or (selector[1:].isdigit() and name.selector != selector):
                    raise Damaged("another version than the one asked for")
                if files is not None and digest_of(listed) != digest:
                    raise Damaged("the digest is not that of the listed files")
                return Version(id_, state, digest_of(listed), listed)
        raise Damaged("no description of a version")

    def base_names(self, line: str) -> frozenset[str]:
        """What Lethe calls the line's base model: its path or Hub id, and its digest once it is pinned.

        Raises:
            Unreachable, Refused, Damaged: see there.
        """
        match self._json(f"/v1/adapters/{quote(line)}"):
            case {"base_model": {"path": str(path), "digest": str(digest)}}:
                return frozenset({path, digest.removeprefix("sha256:")})
            case {"base_model": {"path": str(path)}}:
                return frozenset({path})
        raise Damaged("no description of a line")

    def events(self, cursor: str | None) -> tuple[list[Event], str]:
        """The page after a cursor and the cursor after it; without one, nothing and the feed's present end.

        Raises:
            Unreachable, Refused, Damaged: see there.
        """
        query = {"limit": _PAGE, **({"start": "now"} if cursor is None else {"cursor": cursor})}
        match self._json(f"/v1/events?{urlencode(query)}"):
            case {"items": list(items), "next_cursor": str(following)}:
                return [_event(item) for item in items], following
        raise Damaged("no page of events")

    def download(self, version: Version, name: str, target: Path) -> None:
        """Write one file of a version; never more bytes than announced.

        Raises:
            Unreachable, Refused, Damaged: see there.
        """
        line, _, selector = version.id.partition("@")
        file, sha, left = version.files[name], hashlib.sha256(), version.files[name].size
        deadline = time.monotonic() + DOWNLOAD_S
        path = f"/v1/adapters/{quote(line)}/versions/{quote(selector)}/files/{quote(name)}"
        with self._get(path) as response, target.open("xb") as output:
            while chunk := response.read(min(_CHUNK, left + 1)):
                left -= len(chunk)
                if left < 0:
                    raise Damaged(f"{name} is longer than announced")
                if time.monotonic() > deadline:
                    raise Unreachable(f"{name} did not come within {DOWNLOAD_S:g} s")
                sha.update(chunk)
                output.write(chunk)
        if left or sha.hexdigest() != file.sha256:
            raise Damaged(f"{name} does not have the published digest")

    def on_trial(self, line: str, alias: str) -> str | None:
        """Which version an alias tries on a share of its traffic, as `v4`; None if none.

        Raises:
            Unreachable, Refused, Damaged: see there.
        """
        match self._json(f"/v1/adapters/{quote(line)}/aliases/{quote(alias)}"):
            case {"canary": {"version": str(version)}}:
                return version
            case {"canary": None}:
                return None
        raise Damaged("no description of an alias")

    def signature(self, version: Version) -> bytes:
        """The bundle that vouches for a version's files.

        Raises:
            Unreachable, Refused, Damaged: see there.
        """
        line, _, selector = version.id.partition("@")
        return self._whole(f"/v1/adapters/{quote(line)}/versions/{quote(selector)}/signature")

    def probe(self, version: Version) -> object:
        """What a server with this version must answer, as it came.

        Raises:
            Unreachable, Refused, Damaged: see there.
        """
        line, _, selector = version.id.partition("@")
        return self._json(f"/v1/adapters/{quote(line)}/versions/{quote(selector)}/probe")

    def _json(self, path: str) -> object:
        try:
            return json.loads(self._whole(path))
        except (ValueError, RecursionError) as error:
            raise Damaged("no JSON") from error

    def _whole(self, path: str) -> bytes:
        with self._get(path) as response:
            text = response.read(_MOST_JSON + 1)
        if len(text) > _MOST_JSON:
            raise Damaged("an answer without end")
        return text

    @contextmanager
    def _get(self, path: str) -> Iterator[http.client.HTTPResponse]:
        connection = self._connection()
        try:
            connection.request("GET", self._prefix + path, headers=self._headers)
            response = connection.getresponse()
            if response.status == 429 or response.status >= 500:
                raise Unreachable(f"Lethe answered {response.status}")
            if response.status != 200:
                raise Refused(response.status)
            yield response
        except (OSError, http.client.HTTPException) as error:
            raise Unreachable(type(error).__name__) from error
        finally:
            connection.close()

    def _connection(self) -> http.client.HTTPConnection:
        if self._tls is None:
            return http.client.HTTPConnection(self._host, self._port, timeout=TIMEOUT_S)
        return http.client.HTTPSConnection(self._host, self._port, timeout=TIMEOUT_S, context=self._tls)


def digest_of(files: Mapping[str, File]) -> str:
    """A version's content address: SHA-256 over its sorted file names and digests."""
    listing = sorted((name, file.sha256) for name, file in files.items())
    return "sha256:" + hashlib.sha256(json.dumps(listing).encode()).hexdigest()


def _files(listed: Any) -> Mapping[str, File]:
    """Raises Damaged."""
    try:
        files = {str(name): File(str(entry["sha256"]), int(entry["size"])) for name, entry in (listed or {}).items()}
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise Damaged("no list of files") from error
    if any(file.size < 0 for file in files.values()):
        raise Damaged("a file of impossible size")
    return files


def _event(item: Any) -> Event:
    """Raises Damaged."""
    match item:
        case {"type": str(type_), "adapter": str() | None as line, "data": dict(data)}:
            number, alias = data.get("version"), data.get("alias")
            version = f"{line}@v{number}" if type(number) is int else None
            return Event(type_, line, version, alias if isinstance(alias, str) else None)
    raise Damaged("no event")
