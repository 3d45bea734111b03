"""Files sealed piece by piece: nothing but the whole file, in its own place, opens."""

import io
import os

import pytest

from service.domain.errors import Corrupted
from service.evidence.sealed_files import FileSealer

KEY = bytes(range(32))
PIECE = 1 << 20
STORED_PIECE = PIECE + 16
HEADER = 17
NAME = "record/adam.safetensors"


def seal(plain: bytes, *, key: bytes = KEY, name: str = NAME) -> bytes:
    target = io.BytesIO()
    FileSealer(key).seal(io.BytesIO(plain), target, name=name)
    return target.getvalue()


def unseal(stored: bytes, *, key: bytes = KEY, name: str = NAME) -> bytes:
    target = io.BytesIO()
    FileSealer(key).unseal(io.BytesIO(stored), target, name=name)
    return target.getvalue()


def pieces(stored: bytes) -> list[bytes]:
    body = stored[HEADER:]
    return [body[start : start + STORED_PIECE] for start in range(0, len(body), STORED_PIECE)]


@pytest.fixture(scope="module")
def plain() -> bytes:
    return os.urandom(2 * PIECE + 5)


@pytest.mark.parametrize("size", [0, 1, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE])
def test_a_file_of_any_size_comes_back(size: int) -> None:
    plain = os.urandom(size)
    stored = seal(plain)
    assert unseal(stored) == plain
    assert len(stored) == HEADER + size + 16 * max(1, -(-size // PIECE))


def test_no_two_files_look_alike(plain: bytes) -> None:
    assert seal(plain)[HEADER:] != seal(plain)[HEADER:]


@pytest.mark.parametrize(
    "stored",
    [
        pytest.param(lambda head, parts: head + b"".join(parts[:-1]), id="the last piece dropped"),
        pytest.param(lambda head, parts: head + parts[0], id="all but the first dropped"),
        pytest.param(lambda head, parts: head, id="all dropped"),
        pytest.param(lambda head, parts: head[:-1], id="half a header"),
        pytest.param(lambda head, parts: b"", id="nothing"),
        pytest.param(lambda head, parts: head + b"".join(parts)[:-1], id="a byte short"),
        pytest.param(lambda head, parts: head + parts[1] + parts[0] + parts[2], id="reordered"),
        pytest.param(lambda head, parts: head + parts[1] + parts[2], id="the first dropped"),
        pytest.param(lambda head, parts: head + b"".join([*parts, parts[2]]), id="the last one twice"),
        pytest.param(lambda head, parts: head + b"".join([parts[0], *parts]), id="the first one twice"),
        pytest.param(lambda head, parts: head + b"".join(parts) + b"\0", id="a byte long"),
    ],
)
def test_whatever_is_missing_or_out_of_place_is_noticed(plain: bytes, stored: object) -> None:
    whole = seal(plain)
    assert callable(stored)
    with pytest.raises(Corrupted):
        unseal(stored(whole[:HEADER], pieces(whole)))


@pytest.mark.parametrize("position", [0, 1, HEADER, HEADER + PIECE, HEADER + STORED_PIECE, -1])
def test_an_altered_byte_is_noticed(plain: bytes, position: int) -> None:
    altered = bytearray(seal(plain))
    altered[position] ^= 1
    with pytest.raises(Corrupted):
        unseal(bytes(altered))


def test_a_piece_of_another_file_does_not_fit(plain: bytes) -> None:
    one, other = seal(plain), seal(plain)
    with pytest.raises(Corrupted):
        unseal(one[: HEADER + STORED_PIECE] + other[HEADER + STORED_PIECE :])


def test_a_file_opens_neither_under_another_name_nor_with_another_key(plain: bytes) -> None:
    stored = seal(plain)
    with pytest.raises(Corrupted):
        unseal(stored, name="record/order.safetensors")
    with pytest.raises(Corrupted):
        unseal(stored, key=bytes(32))


def test_two_pieces_are_in_memory_at_most() -> None:
    class Endless:
        """Counts what was read but not yet written."""

        def __init__(self) -> None:
            self.left, self.held, self.most = 50 * PIECE, 0, 0

        def read(self, size: int, /) -> bytes:
            data = bytes(min(size, self.left))
            self.left -= len(data)
            self.held += len(data)
            self.most = max(self.most, self.held)
            return data

        def write(self, data: bytes, /) -> int:
            self.held = max(0, self.held - len(data))
            return len(data)

    file = Endless()
    FileSealer(KEY).seal(file, file, name=NAME)
    assert file.left == 0
    assert file.most <= 2 * PIECE
