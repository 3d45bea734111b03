import hashlib
from itertools import pairwise

import pytest

from service.domain.errors import Corrupted
from service.evidence.audit import GENESIS, link, verify

Row = dict[str, object]


def chain(rows: list[Row]) -> list[tuple[Row, str]]:
    linked, previous = [], GENESIS
    for row in rows:
        previous = link(previous, row)
        linked.append((row, previous))
    return linked


ROWS: list[Row] = [{"action": "request.created", "data": {"n": number}} for number in range(5)]


def test_a_link_is_sha_256_of_the_previous_hash_and_the_row() -> None:
    assert (
        link(GENESIS, {"b": 1, "a": "ü"}) == hashlib.sha256(f'["{"0" * 64}",{{"a":"ü","b":1}}]'.encode()).hexdigest()
    )


def test_an_untouched_chain_verifies_to_its_head() -> None:
    linked = chain(ROWS)

    assert verify(linked) == linked[-1][1]
    assert verify([]) == GENESIS


def test_a_chain_can_be_verified_piece_by_piece() -> None:
    linked = chain(ROWS)

    assert verify(linked[2:], previous=verify(linked[:2])) == linked[-1][1]


def test_an_altered_row_is_found() -> None:
    linked = chain(ROWS)
    linked[2] = ({**ROWS[2], "action": "request.rejected"}, linked[2][1])

    with pytest.raises(Corrupted) as caught:
        verify(linked)

    assert caught.value.extra == {"position": 2}


def test_an_altered_row_with_a_recomputed_hash_breaks_the_next() -> None:
    linked = chain(ROWS)
    linked[2] = (ROWS[0], link(linked[1][1], ROWS[0]))

    with pytest.raises(Corrupted) as caught:
        verify(linked)

    assert caught.value.extra == {"position": 3}


def test_dropped_and_moved_rows_are_found() -> None:
    linked = chain(ROWS)
    for position, _ in enumerate(linked[:-1]):
        with pytest.raises(Corrupted):
            verify(linked[:position] + linked[position + 1 :])
    for first, second in pairwise(range(len(linked))):
        moved = list(linked)
        moved[first], moved[second] = moved[second], moved[first]
        with pytest.raises(Corrupted):
            verify(moved)
