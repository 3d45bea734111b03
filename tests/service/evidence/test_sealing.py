import os

import pytest

from service.domain.errors import Corrupted, Shredded
from service.evidence.sealing import Sealed, Sealer

MASTER_KEY = bytes(range(32))
TEXT = b"Ada Lovelace lives in Marylebone."


@pytest.fixture
def sealer() -> Sealer:
    return Sealer(MASTER_KEY)


def test_a_sealed_text_opens_again_in_another_process_with_the_same_master_key(sealer: Sealer) -> None:
    sealed = sealer.seal(TEXT, context="ds_1/row-1")

    assert Sealer(MASTER_KEY).unseal(sealed, context="ds_1/row-1") == TEXT


@pytest.mark.parametrize("text", [b"", b"\0", os.urandom(100_000)])
def test_any_bytes_can_be_sealed(sealer: Sealer, text: bytes) -> None:
    assert sealer.unseal(sealer.seal(text, context="c"), context="c") == text


def test_neither_field_shows_the_text_or_the_row_key_and_nothing_repeats(sealer: Sealer) -> None:
    first, second = sealer.seal(TEXT, context="c"), sealer.seal(TEXT, context="c")

    assert TEXT not in first.ciphertext
    assert first.ciphertext != second.ciphertext
    assert first.wrapped_key != second.wrapped_key


def test_without_its_key_a_text_is_gone(sealer: Sealer) -> None:
    sealed = sealer.seal(TEXT, context="c")

    with pytest.raises(Shredded):
        sealer.unseal(Sealed(sealed.ciphertext, None), context="c")


def test_the_key_of_one_row_does_not_open_another(sealer: Sealer) -> None:
    first, second = sealer.seal(TEXT, context="c"), sealer.seal(TEXT, context="c")

    with pytest.raises(Corrupted):
        sealer.unseal(Sealed(first.ciphertext, second.wrapped_key), context="c")


def test_a_row_moved_to_another_place_does_not_open(sealer: Sealer) -> None:
    sealed = sealer.seal(TEXT, context="ds_1/row-1")

    with pytest.raises(Corrupted):
        sealer.unseal(sealed, context="ds_1/row-2")


def test_another_master_key_opens_nothing(sealer: Sealer) -> None:
    with pytest.raises(Corrupted):
        Sealer(bytes(32)).unseal(sealer.seal(TEXT, context="c"), context="c")


@pytest.mark.parametrize("field", ["ciphertext", "wrapped_key"])
def test_every_altered_bit_is_noticed(sealer: Sealer, field: str) -> None:
    sealed = sealer.seal(b"short", context="c")
    fields = {"ciphertext": sealed.ciphertext, "wrapped_key": sealed.wrapped_key or b""}
    for position in range(len(fields[field])):
        altered = bytearray(fields[field])
        altered[position] ^= 1
        with pytest.raises(Corrupted):
            sealer.unseal(Sealed(**fields | {field: bytes(altered)}), context="c")


@pytest.mark.parametrize("length", [0, 1, 12, 28])
def test_truncated_fields_are_noticed(sealer: Sealer, length: int) -> None:
    sealed = sealer.seal(TEXT, context="c")

    with pytest.raises(Corrupted):
        sealer.unseal(Sealed(sealed.ciphertext[:length], sealed.wrapped_key), context="c")
    with pytest.raises(Corrupted):
        sealer.unseal(Sealed(sealed.ciphertext, (sealed.wrapped_key or b"")[:length]), context="c")


def test_the_master_key_must_have_256_bits() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        Sealer(b"short")
