import hashlib
from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise

import pytest

from service.domain.errors import Corrupted
from service.evidence.audit import GENESIS, Entry, Head, content, link, verify

NOON = datetime(2025, 1, 31, 12, tzinfo=UTC)


def chain(count: int = 6, start: str = GENESIS) -> list[Entry]:
    linked, previous = [], start
    for number in range(1, count + 1):
        row = content(at=NOON, actor="key_1", action="request.created", data={"n": number})
        previous = link(previous, row)
        linked.append(Entry(number, row, previous))
    return linked


def head_of(entries: list[Entry]) -> Head:
    return Head(len(entries), entries[-1].seq, entries[-1].hash)


def broken(entries: list[Entry], head: Head | None = None) -> tuple[str, object, object]:
    """Code, position and number of what is found."""
    with pytest.raises(Corrupted) as caught:
        verify(entries, head=head)
    return caught.value.code, caught.value.extra["position"], caught.value.extra["seq"]


def altered(entry: Entry, *, previous: str | None = None) -> Entry:
    """Another row in its place; with `previous` its hash is computed anew."""
    row = {**entry.row, "action": "request.rejected"}
    return Entry(entry.seq, row, entry.hash if previous is None else link(previous, row))


def test_a_link_is_sha_256_of_the_previous_hash_and_the_row() -> None:
    assert (
        link(GENESIS, {"b": 1, "a": "ü"}) == hashlib.sha256(f'["{"0" * 64}",{{"a":"ü","b":1}}]'.encode()).hexdigest()
    )


def test_the_time_of_a_row_does_not_depend_on_the_zone_it_is_read_in() -> None:
    berlin = NOON.astimezone(timezone(timedelta(hours=1)))

    rows = [content(at=at, actor="a", action="b", data={}) for at in (NOON, berlin)]

    assert rows[0] == rows[1] == {"at": "2025-01-31T12:00:00+00:00", "actor": "a", "action": "b", "data": {}}


class TestWhole:
    def test_it_verifies_to_its_head(self) -> None:
        linked = chain()
        assert verify(linked) == verify(linked, head=head_of(linked)) == linked[-1].hash
        assert verify([]) == verify([], head=Head(0, 0, GENESIS)) == GENESIS

    def test_piece_by_piece(self) -> None:
        linked = chain()
        assert verify(linked[2:], previous=verify(linked[:2])) == linked[-1].hash

    def test_gaps_between_numbers_mean_nothing(self) -> None:
        linked = [Entry(entry.seq * 3, entry.row, entry.hash) for entry in chain()]
        assert verify(linked, head=head_of(linked)) == linked[-1].hash


class TestAltered:
    @pytest.mark.parametrize("index", range(6))
    def test_a_row(self, index: int) -> None:
        linked = chain()
        linked[index] = altered(linked[index])
        assert broken(linked, head_of(chain())) == ("audit-altered", index + 1, index + 1)
        assert broken(linked)[0] == "audit-altered"

    def test_with_a_hash_computed_anew_it_breaks_the_next(self) -> None:
        linked = chain()
        linked[2] = altered(linked[2], previous=linked[1].hash)
        assert broken(linked) == ("audit-altered", 4, 4)

    def test_all_hashes_computed_anew_do_not_lead_to_the_head(self) -> None:
        assert broken(chain(start=hashlib.sha256(b"x").hexdigest()), head_of(chain()))[0] == "audit-altered"
        forged = chain(5)
        forged.append(altered(chain()[5], previous=forged[-1].hash))
        assert broken(forged, head_of(chain())) == ("audit-altered", 6, 6)


class TestMissing:
    @pytest.mark.parametrize("count", [1, 3, 5])
    def test_at_the_start(self, count: int) -> None:
        cut = chain()[count:]
        assert broken(cut) == broken(cut, head_of(chain())) == ("audit-truncated-start", 1, count + 1)

    def test_at_the_start_with_numbers_made_to_fit(self) -> None:
        cut = [Entry(number, entry.row, entry.hash) for number, entry in enumerate(chain()[2:], start=1)]
        assert broken(cut, head_of(chain())) == ("audit-truncated-start", 1, 1)

    @pytest.mark.parametrize("index", range(1, 5))
    def test_in_between(self, index: int) -> None:
        linked = chain()
        del linked[index]
        assert broken(linked) == broken(linked, head_of(chain())) == ("audit-dropped", index + 1, index + 2)

    @pytest.mark.parametrize("count", [1, 3])
    def test_at_the_end(self, count: int) -> None:
        cut = chain()[:-count]
        assert broken(cut, head_of(chain())) == ("audit-truncated-end", 6 - count, 6 - count)
        assert verify(cut) == cut[-1].hash, "which is why there is a head"

    def test_everything(self) -> None:
        assert broken([], head_of(chain())) == ("audit-truncated-end", 0, None)


class TestMoved:
    def test_neighbours_swapped(self) -> None:
        for first, second in pairwise(range(6)):
            linked = chain()
            linked[first], linked[second] = linked[second], linked[first]
            assert broken(linked) == ("audit-reordered", first + 1, second + 1)

    def test_one_row_moved_to_the_end(self) -> None:
        linked = chain()
        linked.append(linked.pop(1))
        assert broken(linked)[0] == "audit-reordered"


class TestAdded:
    def test_a_row_twice(self) -> None:
        linked = chain()
        linked.insert(4, linked[1])
        assert broken(linked) == ("audit-inserted", 5, 2)

    def test_a_row_that_never_was(self) -> None:
        linked = chain()
        linked.insert(3, altered(linked[3], previous=linked[2].hash))
        assert broken(linked) == ("audit-inserted", 5, 4)

    def test_after_the_head(self) -> None:
        assert broken(chain(), head_of(chain(4))) == ("audit-beyond-head", 6, 6)
        assert broken(chain(), Head(0, 0, GENESIS)) == ("audit-beyond-head", 6, 6)
