import re
import zlib

import pytest

from service.evidence.tokens import new_token, well_formed

KNOWN = "lethe_" + "0" * 32


def test_a_new_token_has_190_random_bits_and_is_well_formed() -> None:
    token = new_token()

    assert re.fullmatch(r"lethe_[0-9A-Za-z]{32}[0-9A-Za-z]{6}", token)
    assert well_formed(token)
    assert 62**32 > 2**190


def test_tokens_do_not_repeat_and_use_the_whole_alphabet() -> None:
    tokens = {new_token() for _ in range(2_000)}

    assert len(tokens) == 2_000
    assert len(set("".join(token[6:38] for token in tokens))) == 62


def test_the_checksum_is_crc_32_of_what_precedes_it_in_base62() -> None:
    """crc32("lethe_000…0") = 1927905650 = 2·62⁵ + 6·62⁴ + 29·62³ + 18·62² + 20·62 + 26."""
    assert zlib.crc32(KNOWN.encode()) == 1927905650
    assert sum(digit * 62**power for digit, power in zip((2, 6, 29, 18, 20, 26), range(5, -1, -1), strict=True)) == (
        1927905650
    )
    assert well_formed(KNOWN + "26TIKQ")


def test_a_single_wrong_character_is_noticed() -> None:
    token = new_token()
    for position in range(len(token)):
        wrong = "x" if token[position] != "x" else "y"
        assert not well_formed(token[:position] + wrong + token[position + 1 :])


@pytest.mark.parametrize("text", ["", "lethe_", "ghp_0", "lethe_" + "0" * 38, "lethe_" + "é" * 38, "\ud800" * 44])
def test_anything_else_is_not_a_token(text: str) -> None:
    assert not well_formed(text)


def test_longer_and_shorter_texts_with_a_right_checksum_are_refused() -> None:
    token = new_token()

    assert not well_formed(token + token[-6:])
    assert not well_formed(token[:-1])
    assert not well_formed(" " + token)
