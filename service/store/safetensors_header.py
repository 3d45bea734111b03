"""Reading a safetensors file without a tensor library: what it holds, and whether all of it is finite.

The layout is checked as the format demands (https://github.com/huggingface/safetensors, "Format"): an
8-byte little-endian header length, a JSON header, and the tensors' bytes without holes or overlaps.
Memory stays below a few times the header cap, whatever the file says.
"""

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from service.domain.errors import InvalidArchive, Unsupported

_FIELD = "/archive/adapter_model.safetensors"
_HEADER_BYTES = 16 * 2**20
_CHUNK_BYTES = 4 * 2**20
_METADATA = "__metadata__"
# Characters. Trainers write whole configurations into the metadata.
_LONGEST_MEMBER, _LONGEST_METADATA = 4096, 2**20
_BLANKS = " \t\n\r"
_SPACE = re.compile(f"[{_BLANKS}]*")
# Item size, the integer type of the raw bits, and the bits that are all set in NaN and infinities.
_DTYPES: Mapping[str, tuple[int, str, int]] = {
    "F64": (8, "<u8", 0x7FF0_0000_0000_0000),
    "F32": (4, "<u4", 0x7F80_0000),
    "F16": (2, "<u2", 0x7C00),
    "BF16": (2, "<u2", 0x7F80),
}


@dataclass(frozen=True, slots=True)
class TensorEntry:
    """A tensor's place: `begin` and `end` count bytes from the end of the header."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


@dataclass(frozen=True, slots=True)
class Header:
    """The tensors of a file in the order of their bytes. `data_start`: the offset of the first of them."""

    tensors: tuple[TensorEntry, ...]
    data_start: int


def read_header(path: Path) -> Header:
    """The checked header of a safetensors file of floating-point tensors.

    Raises:
        InvalidArchive: `weights-truncated`, `weights-header` (too long, no JSON, or malformed),
            `weights-layout` (holes, overlaps, sizes that do not fit).
        Unsupported: `weights-dtype`: a tensor is not F64, F32, F16 or BF16.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or (length <= _HEADER_BYTES and length > size - 8):
            _refuse("weights-truncated", "The weights file is cut short.")
        if length > _HEADER_BYTES:
            _refuse("weights-header", f"The header of the weights file is longer than {_HEADER_BYTES} bytes.")
        entries = _entries(file.read(length))
    tensors = sorted(entries, key=lambda t: (t.begin, t.end))
    position = 0
    for tensor in tensors:
        if tensor.begin != position:
            _refuse("weights-layout", "The tensors of the weights file overlap or leave holes.")
        position = tensor.end
    if position != size - 8 - length:
        _refuse("weights-layout", "The weights file is longer or shorter than its header says.")
    return Header(tuple(tensors), 8 + length)


def first_not_finite(path: Path, header: Header) -> TensorEntry | None:
    """The first tensor that holds NaN or an infinity. Reads the whole file, 4 MiB at a time."""
    for tensor in header.tensors:
        mask = _DTYPES[tensor.dtype][2]
        for bits in _bits(path, header, tensor):
            if bool(((bits & mask) == mask).any()):
                return tensor
    return None


def _bits(path: Path, header: Header, tensor: TensorEntry) -> Iterator[npt.NDArray[Any]]:
    with path.open("rb") as file:
        file.seek(header.data_start + tensor.begin)
        left = tensor.end - tensor.begin
        while left:
            chunk = file.read(min(left, _CHUNK_BYTES))
            if not chunk:
                _refuse("weights-truncated", "The weights file is cut short.")
            left -= len(chunk)
            yield np.frombuffer(chunk, dtype=_DTYPES[tensor.dtype][1])


def _entries(header: bytes) -> list[TensorEntry]:
    entries: dict[str, TensorEntry | None] = {}
    try:
        for name, member in _members(header.decode("utf-8")):
            if name in entries:
                raise ValueError("a name twice")
            entries[name] = None if name == _METADATA else _entry(name, member)
    except (ValueError, RecursionError):
        _refuse("weights-header", "The header of the weights file is not a JSON object without duplicates.")
    return [entry for entry in entries.values() if entry is not None]


def _members(text: str) -> Iterator[tuple[str, object]]:
    """The members of a JSON object one by one, so that no more than one of them takes memory.

    Parsed at once, 16 MiB of empty lists would take half a gigabyte.

    Raises:
        ValueError: it is none, or a member is longer than any that describes a tensor.
    """
    position = _after(text, 0, "{")
    is_last = _at(text, position) == "}"
    while not is_last:
        name, position = _value(text, position, _LONGEST_MEMBER)
        if not isinstance(name, str):
            raise ValueError("a name that is none")
        limit = _LONGEST_METADATA if name == _METADATA else _LONGEST_MEMBER
        member, position = _value(text, _after(text, position, ":"), limit)
        yield name, member
        is_last = _at(text, position) == "}"
        position = position if is_last else _after(text, position, ",")
    if text[_after(text, position, "}") :].strip(_BLANKS):
        raise ValueError("more than an object")


def _value(text: str, position: int, limit: int) -> tuple[object, int]:
    """The value that begins at a position, and the position of what follows it."""
    start = _blank(text, position)
    value, length = _DECODER.raw_decode(text[start : start + limit])
    return value, _blank(text, start + length)


def _after(text: str, position: int, mark: str) -> int:
    start = _blank(text, position)
    if _at(text, start) != mark:
        raise ValueError("malformed")
    return _blank(text, start + 1)


def _at(text: str, position: int) -> str:
    return text[position : position + 1]


def _blank(text: str, position: int) -> int:
    """The position of the next character that is no white space."""
    match = _SPACE.match(text, position)
    return position if match is None else match.end()


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("duplicate key")
    return members


_DECODER = json.JSONDecoder(object_pairs_hook=_without_duplicates)


def _entry(name: str, member: object) -> TensorEntry:
    match member:
        case {"dtype": str(dtype), "shape": list(shape), "data_offsets": [int(begin), int(end)], **rest} if not rest:
            pass
        case _:
            _refuse("weights-header", "The header of the weights file describes a tensor in an unknown way.")
    if dtype not in _DTYPES:
        raise Unsupported(
            "The adapter holds tensors that are not F64, F32, F16 or BF16.",
            field=_FIELD,
            fix="Save the adapter in floating point.",
            code="weights-dtype",
        )
    if not all(type(extent) is int and extent >= 0 for extent in shape) or len(shape) > 8:
        _refuse("weights-header", "The header of the weights file states an impossible shape.")
    if begin < 0 or end - begin != math.prod(shape) * _DTYPES[dtype][0]:
        _refuse("weights-layout", "A tensor of the weights file has another size than its shape needs.")
    return TensorEntry(name, dtype, tuple(shape), begin, end)


def _refuse(code: str, detail: str) -> NoReturn:
    raise InvalidArchive(detail, field=_FIELD, fix="Save the adapter with safetensors again.", code=code)
