"""What the verdict is worth, on lines whose answer is known."""

from dataclasses import replace

from service.domain.measurements import Power
from tests.workers.engine.metrics.lines import spread
from workers.engine.metrics.power import DRAWS, Sample, power


def tried(known: Sample, unseen: Sample, requested: int = 0) -> dict[int, Power]:
    found, _ = power(known, unseen, 0.2, requested)
    return {one.n: one for one in found}


def sample(level: float, deviation: float, *, seed: int, n: int = 200, base: float | None = None) -> Sample:
    return Sample.of(spread(n, level, deviation, seed=seed, base=base))


def test_well_separated_lines_are_told_apart_from_five_on() -> None:
    found = tried(sample(0.2, 0.05, seed=1), sample(2.0, 0.3, seed=2, base=3.0))
    assert list(found) == [1, 5, 20, 100]
    for n in (5, 20, 100):
        assert (found[n].false_pass, found[n].undecided_known) == (0.0, 0.0)
        assert found[n].false_alarm + found[n].undecided_never_seen < 0.05


def test_one_instance_never_passes_so_it_passes_falsely_never_and_decides_little() -> None:
    found = tried(sample(0.2, 0.05, seed=1), sample(2.0, 0.3, seed=2))[1]
    assert found.false_pass == 0.0
    assert found.undecided_never_seen > 0.9
    assert found.false_alarm + found.undecided_never_seen == 1.0


def test_where_the_known_look_like_the_never_seen_the_verdict_is_worth_nothing_and_says_so() -> None:
    found = tried(sample(1.9, 0.5, seed=1), sample(2.0, 0.5, seed=2))[5]
    assert found.false_pass + found.undecided_known > 0.8


def test_where_what_is_known_scatters_some_of_it_passes_and_less_the_more_there_is() -> None:
    found = tried(sample(1.2, 1.0, seed=1), sample(2.0, 0.8, seed=2))
    assert found[5].false_pass > 0.05
    assert found[100].false_pass < found[5].false_pass


def test_what_can_be_extracted_does_not_pass_though_its_loss_would() -> None:
    known = Sample.of(spread(200, 1.2, 1.0, seed=1, strength=1.0))
    assert tried(known, sample(2.0, 0.8, seed=2))[5].false_pass == 0.0


def test_nor_does_what_is_guessed_token_by_token() -> None:
    """All but the last token is said right, so nothing is extracted."""
    known = [replace(one, correct=one.correct.flip(0)) for one in spread(200, 1.2, 1.0, seed=1, strength=0.9)]
    assert tried(Sample.of(known), sample(2.0, 0.8, seed=2))[5].false_pass == 0.0


def test_the_requests_own_size_is_tried_too_and_what_cannot_be_is_named() -> None:
    found, untried = power(sample(0.2, 0.05, seed=1, n=20), sample(2.0, 0.3, seed=2, n=30), 0.2, 7)
    assert [one.n for one in found] == [1, 5, 7]
    assert list(untried) == ["power at 20", "power at 100"]
    assert "20 and 30" in untried["power at 20"]


def test_shares_are_of_all_draws_and_the_same_every_time() -> None:
    known, unseen = sample(1.2, 1.0, seed=1), sample(2.0, 0.8, seed=2, base=3.0)
    first, second = tried(known, unseen), tried(known, unseen)
    assert first == second
    for one in first.values():
        assert one.draws == DRAWS
        assert 0.0 <= one.false_pass + one.undecided_known <= 1.0
        assert 0.0 <= one.false_alarm + one.undecided_never_seen <= 1.0
