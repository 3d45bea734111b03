"""When a failed delivery is tried again."""

from datetime import timedelta

import pytest

from service.domain.webhooks import JITTER, PAUSES_S, Attempt, AttemptError, pause_after


def answered(status: int, retry_after_s: float | None = None) -> Attempt:
    return Attempt(status, None, 0.1, retry_after_s)


def test_ten_attempts_over_three_days_then_no_more() -> None:
    pauses = [pause_after(tries, answered(500), chance=0) for tries in range(1, 11)]
    assert pauses[:3] == [timedelta(seconds=5), timedelta(minutes=5), timedelta(minutes=30)]
    assert pauses[-1] is None
    total = sum((pause for pause in pauses if pause is not None), timedelta())
    assert timedelta(days=3) < total < timedelta(days=4)


@pytest.mark.parametrize("tries", range(1, len(PAUSES_S) + 1))
def test_a_pause_grows_by_chance_and_never_shrinks(tries: int) -> None:
    least, most = (pause_after(tries, answered(500), chance=chance) for chance in (0, 1))
    assert least is not None
    assert most == least * (1 + JITTER)


@pytest.mark.parametrize(("retry_after_s", "expected_s"), [(None, 5), (1, 5), (60, 60), (3600, 3600), (1e9, 86_400)])
def test_an_answer_may_ask_for_a_longer_pause_of_a_day_at_most(retry_after_s: float | None, expected_s: int) -> None:
    assert pause_after(1, answered(503, retry_after_s), chance=0) == timedelta(seconds=expected_s)


@pytest.mark.parametrize(
    ("attempt", "succeeded"),
    [
        (answered(200), True),
        (answered(299), True),
        (answered(199), False),
        (answered(302), False),
        (answered(410), False),
        (Attempt(None, AttemptError.timeout, 15), False),
    ],
)
def test_only_2xx_is_success(attempt: Attempt, succeeded: bool) -> None:
    assert attempt.succeeded is succeeded
