"""Find planted strings wherever they may hide: in any encoding, in archives and compressed chunks, as token ids."""

import base64
import gzip
import io
import json
import re
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import numpy as np

MAX_DEPTH = 4
MAX_INFLATED = 1 << 28
_STREAMS = re.compile(rb"\x1f\x8b\x08|\x78[\x01\x5e\x9c\xda]")
_TOKEN_TYPES = ("<i2", "<i4", "<i8", "<f4")


@dataclass(frozen=True, slots=True)
class Hit:
    """A canary found: where, and in what form."""

    canary: str
    place: str
    form: str


@dataclass(frozen=True, slots=True)
class Canary:
    """A planted string and the bytes it would be found as. `exact` forms are compared with their case."""

    name: str
    exact: Mapping[str, bytes]
    folded: Mapping[str, bytes]

    def found_in(self, data: bytes, lowered: bytes) -> Iterator[str]:
        yield from (form for form, needle in self.exact.items() if needle in data)
        yield from (form for form, needle in self.folded.items() if needle in lowered)


def text_canary(text: str, token_ids: Sequence[int] = ()) -> Canary:
    """A string that must not be found in any case or encoding. `token_ids`: what a tokenizer makes of it."""
    exact: dict[str, bytes] = {}
    folded: dict[str, bytes] = {}
    for spelling in _spellings(text):
        for offset in range(3):
            code = _base64_core(spelling.encode(), offset)
            exact[f"base64+{offset} of {spelling!r}"] = code
            exact[f"base64url+{offset} of {spelling!r}"] = code.translate(bytes.maketrans(b"+/", b"-_"))
        for encoding in ("utf-8", "utf-16-le", "utf-16-be", "utf-32-le"):
            folded[f"{encoding} of {spelling!r}"] = spelling.encode(encoding).lower()
        folded[f"percent of {spelling!r}"] = quote(spelling, safe="").encode().lower()
        folded[f"hex of {spelling!r}"] = spelling.encode().hex().encode()
    for kind in _TOKEN_TYPES if token_ids else ():
        exact[f"tokens {kind}"] = np.asarray(token_ids, dtype=kind).tobytes()
    return Canary(text, exact, folded)


def bytes_canary(name: str, data: bytes) -> Canary:
    """Bytes that must not be found: as they are, in hex or in base64."""
    exact = {"raw": data} | {f"base64+{offset}": _base64_core(data, offset) for offset in range(3)}
    return Canary(name, exact, {"hex": data.hex().encode()})


def hits_in_files(canaries: Sequence[Canary], roots: Iterable[Path]) -> list[Hit]:
    """Search names and contents of everything below these directories."""
    found: list[Hit] = []
    for root in roots:
        for path in sorted(root.rglob("*")):
            place = str(path.relative_to(root.parent))
            found.extend(hits_in(canaries, place.encode(), f"name of {place}"))
            try:
                data = path.read_bytes() if path.is_file() else b""
            except FileNotFoundError:
                continue
            found.extend(hits_in(canaries, data, place))
    return found


def hits_in(canaries: Sequence[Canary], data: bytes, place: str) -> list[Hit]:
    """Search some bytes, and whatever in them can be unpacked."""
    found: list[Hit] = []
    for layer, inner in _layers(data, place, 0):
        lowered = inner.lower()
        found.extend(Hit(c.name, layer, form) for c in canaries for form in c.found_in(inner, lowered))
    return found


def summary(hits: Sequence[Hit]) -> str:
    """Which canary was found where, in which forms."""
    found: dict[tuple[str, str], set[str]] = {}
    for hit in hits:
        found.setdefault((hit.canary, hit.place), set()).add(hit.form.partition(" of ")[0])
    return "\n".join(f"{canary!r} in {place}: {', '.join(sorted(forms))}" for (canary, place), forms in found.items())


def _layers(data: bytes, place: str, depth: int) -> Iterator[tuple[str, bytes]]:
    yield place, data
    if depth == MAX_DEPTH:
        return
    if data[:2] == b"PK" and zipfile.is_zipfile(io.BytesIO(data)):
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for name in archive.namelist():
                yield from _layers(archive.read(name), f"{place}!{name}", depth + 1)
    for stream in _STREAMS.finditer(data):
        inflated = _inflated(data[stream.start() :], zipped=stream[0][:1] == b"\x1f")
        if inflated:
            yield from _layers(inflated, f"{place}@{stream.start()}", depth + 1)


def _inflated(data: bytes, *, zipped: bool) -> bytes:
    """What a compressed stream at the start of `data` holds, as far as it can be read."""
    stream = zlib.decompressobj(31 if zipped else 15)
    inflated = b""
    try:
        for start in range(0, len(data), 1024):
            inflated += stream.decompress(data[start : start + 1024], MAX_INFLATED - len(inflated))
            if stream.eof or len(inflated) >= MAX_INFLATED:
                break
    except zlib.error:
        pass
    return inflated


def _base64_core(data: bytes, offset: int) -> bytes:
    """The base64 digits that `data` alone determines when `offset` bytes come before it in a group of three."""
    code = base64.b64encode(bytes(offset) + data)
    first = (0, 2, 3)[offset]
    last = (0, 3, 2)[(offset + len(data)) % 3]
    return code[first : len(code) - last]


def _spellings(text: str) -> set[str]:
    """A string in every case, each also as JSON escapes it."""
    cases = {text, text.casefold(), text.upper()}
    return cases | {json.dumps(spelling)[1:-1] for spelling in cases}


def gzipped(data: bytes) -> bytes:
    """A gzip member, for planting."""
    return gzip.compress(data)
