"""Files written by the reference implementation are read; files that lie about themselves are refused."""

import json
import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from service.domain.errors import InvalidArchive, Unsupported
from service.store.safetensors_header import first_not_finite, read_header


def entry(begin: Any, end: Any, *, dtype: Any = "F32", shape: Any = None) -> dict[str, Any]:
    return {"dtype": dtype, "shape": [(end - begin) // 4] if shape is None else shape, "data_offsets": [begin, end]}


def raw(header: object, data: bytes = b"", *, length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


@pytest.fixture
def write(tmp_path: Path) -> Callable[[bytes], Path]:
    def run(data: bytes) -> Path:
        (tmp_path / "weights").write_bytes(data)
        return tmp_path / "weights"

    return run


def test_a_file_of_the_reference_implementation(tmp_path: Path) -> None:
    path = tmp_path / "weights"
    save_file(
        {"b": np.zeros((3, 2), np.float32), "a": np.ones((4,), np.float16), "empty": np.zeros((0, 5), np.float64)},
        path,
        {"format": "pt"},
    )

    header = read_header(path)

    assert {t.name: (t.dtype, t.shape) for t in header.tensors} == {
        "a": ("F16", (4,)),
        "b": ("F32", (3, 2)),
        "empty": ("F64", (0, 5)),
    }
    data = path.read_bytes()[header.data_start :]
    for tensor in header.tensors:
        assert data[tensor.begin : tensor.end] == load_file(path)[tensor.name].tobytes()
    assert first_not_finite(path, header) is None


@pytest.mark.parametrize("data", [b"", b"\0" * 7, raw({}, length=3), raw({"a": entry(0, 8)}, bytes(8))[:20]])
def test_files_that_are_cut_short(write: Callable[[bytes], Path], data: bytes) -> None:
    with pytest.raises(InvalidArchive) as caught:
        read_header(write(data))
    assert caught.value.code == "weights-truncated"


@pytest.mark.parametrize(
    "data",
    [
        raw(b"[]"),
        raw(b"null"),
        raw(b"{"),
        raw(b"\xff\xfe{}"),
        raw(b"[" * 100_000),
        raw(b'{"a": ' * 50_000 + b"1" + b"}" * 50_000),
        raw(b'{"a": 1' + b"0" * 10_000 + b"}"),
        raw(b'{"a": {}, "a": {}}'),
        raw({"a": 3}),
        raw({"a": {"dtype": "F32", "shape": []}}),
        raw({"a": {**entry(0, 4), "extra": 1}}, bytes(4)),
        raw({"a": entry(0, 4, shape=[1.0])}, bytes(4)),
        raw({"a": entry(0, 4, shape=[True])}, bytes(4)),
        raw({"a": entry(0, 4, shape=[-1])}, bytes(4)),
        raw({"a": entry(0, 4, shape="1")}, bytes(4)),
        raw({"a": entry(0, 4, shape=[1] * 9)}, bytes(4)),
        raw({"a": entry(0, 4, dtype=32)}, bytes(4)),
        raw({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4, 8]}}, bytes(4)),
        raw({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0.0, 4]}}, bytes(4)),
        raw(b"{}", length=2**63),
        raw(b"{}", length=16 * 2**20 + 1),
    ],
)
def test_headers_that_are_malformed(write: Callable[[bytes], Path], data: bytes) -> None:
    with pytest.raises(InvalidArchive) as caught:
        read_header(write(data))
    assert caught.value.code == "weights-header"
    assert caught.value.field == "/archive/adapter_model.safetensors"
    assert caught.value.fix


@pytest.mark.parametrize(
    ("header", "size"),
    [
        ({"a": entry(0, 8), "b": entry(4, 12)}, 12),  # overlap
        ({"a": entry(0, 8), "b": entry(0, 8)}, 8),  # the same bytes twice
        ({"a": entry(0, 4), "b": entry(8, 12)}, 12),  # hole
        ({"a": entry(4, 8)}, 8),  # hole at the start
        ({"a": entry(0, 4)}, 8),  # bytes behind the last tensor
        ({"a": entry(0, 8)}, 4),  # bytes missing
        ({}, 4),
        ({"a": entry(0, 8, shape=[1])}, 8),
        ({"a": entry(0, 4, shape=[2**62, 2**62])}, 4),
        ({"a": entry(0, 4, shape=[0])}, 4),
        ({"a": entry(8, 4, shape=[-1 * -1])}, 8),
        ({"a": entry(-4, 0, shape=[1])}, 4),
        ({"a": entry(0, 2**70, shape=[2**68])}, 4),
    ],
)
def test_layouts_with_holes_overlaps_or_wrong_sizes(
    write: Callable[[bytes], Path], header: dict[str, Any], size: int
) -> None:
    with pytest.raises(InvalidArchive) as caught:
        read_header(write(raw(header, bytes(size))))
    assert caught.value.code == "weights-layout"


@pytest.mark.parametrize("dtype", ["I8", "U8", "BOOL", "F8_E4M3", "C64", "hello"])
def test_other_types_than_floating_point(write: Callable[[bytes], Path], dtype: str) -> None:
    with pytest.raises(Unsupported) as caught:
        read_header(write(raw({"a": entry(0, 4, dtype=dtype)}, bytes(4))))
    assert caught.value.code == "weights-dtype"
    assert "hello" not in caught.value.detail


def test_a_header_as_others_may_write_it(write: Callable[[bytes], Path]) -> None:
    """White space anywhere, names that are escaped, and metadata with anything in it."""
    text = """ { "a\\u002eb" : {"shape":[1, 1],  "data_offsets":[0,4],"dtype":"F32"} ,
      "__metadata__": {"config": "{\\"x\\": [1, {}]}, \\"y\\"", "long": "%s"},
      "c":{"dtype":"F32","shape":[],"data_offsets":[4,8]} }"""
    data = (text % ("z" * 100_000)).encode().ljust(100_600)
    header = read_header(write(len(data).to_bytes(8, "little") + data + bytes(8)))
    assert [(tensor.name, tensor.shape) for tensor in header.tensors] == [("a.b", (1, 1)), ("c", ())]
    empty = read_header(write((2).to_bytes(8, "little") + b"{}"))
    assert empty.tensors == ()


def test_an_absurd_header_costs_no_memory(write: Callable[[bytes], Path]) -> None:
    path = write(raw(b"{}", length=2**40))
    tracemalloc.start()
    with pytest.raises(InvalidArchive):
        read_header(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2**20


BITS = {
    "F64": ("<f8", 8),
    "F32": ("<f4", 4),
    "F16": ("<f2", 2),
}


@pytest.mark.parametrize("dtype", BITS)
@pytest.mark.parametrize("value", [np.nan, -np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("position", [0, 12_345, 29_999])
def test_one_value_that_is_not_finite_is_found_wherever_it_is(
    tmp_path: Path, dtype: str, value: float, position: int
) -> None:
    broken = np.ones(30_000, BITS[dtype][0])
    broken[position] = value
    save_file({"a": np.ones(10_000, np.float32), "broken": broken}, tmp_path / "weights")

    found = first_not_finite(tmp_path / "weights", read_header(tmp_path / "weights"))

    assert found is not None
    assert found.name == "broken"


@pytest.mark.parametrize(
    ("bits", "finite"),
    [
        (0x0000, True),
        (0x8000, True),
        (0x3F80, True),  # 1
        (0x7F7F, True),  # the largest
        (0xFF7F, True),
        (0x0001, True),  # the smallest
        (0x7F80, False),  # infinity
        (0xFF80, False),
        (0x7FC0, False),  # quiet NaN
        (0x7F81, False),  # signalling NaN
        (0xFFFF, False),
    ],
)
def test_bfloat16_by_its_bits(write: Callable[[bytes], Path], bits: int, finite: bool) -> None:
    path = write(raw({"a": entry(0, 6, dtype="BF16", shape=[3])}, struct.pack("<3H", 0x3F80, bits, 0x3F80)))

    assert (first_not_finite(path, read_header(path)) is None) is finite


@pytest.mark.parametrize("dtype", BITS)
def test_extreme_finite_values_are_finite(tmp_path: Path, dtype: str) -> None:
    limits = np.finfo(BITS[dtype][0])
    save_file(
        {"a": np.array([limits.max, limits.min, limits.tiny, limits.smallest_subnormal, -0.0], BITS[dtype][0])},
        tmp_path / "weights",
    )

    assert first_not_finite(tmp_path / "weights", read_header(tmp_path / "weights")) is None


def test_the_last_value_of_a_tensor_larger_than_one_read_counts(tmp_path: Path) -> None:
    large = np.ones(3 * 2**20, np.float32)
    large[-1] = np.nan
    save_file({"a": large}, tmp_path / "weights")

    assert first_not_finite(tmp_path / "weights", read_header(tmp_path / "weights")) is not None


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_whatever_we_accept_the_reference_implementation_accepts(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    header = json.dumps({"a": entry(0, 8, shape=[1, 2]), "b": entry(8, 12)}).encode()
    packed = bytearray(raw(header, bytes(12)))
    for _ in range(data.draw(st.integers(1, 3))):
        packed[data.draw(st.integers(0, len(packed) - 13))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("fuzz") / "weights"
    path.write_bytes(bytes(packed))
    try:
        read_header(path)
    except (InvalidArchive, Unsupported):
        return
    try:
        load_file(path)
    except (SafetensorError, KeyError, ValueError) as error:
        pytest.fail(f"accepted here, refused there: {error}")
