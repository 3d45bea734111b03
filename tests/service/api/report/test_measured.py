"""Stored reports are read as far as they can be, and what cannot be read is counted."""

import json
import math
from dataclasses import asdict
from typing import Any

import pytest

from service.api.report.measured import measured, read_verified
from service.api.report.words import duration, metric_name, number, percent, short
from service.domain.runs import RunKind
from tests.support.verification import VERIFIED

STORED: dict[str, Any] = json.loads(json.dumps(asdict(VERIFIED)))


def test_what_was_written_is_read() -> None:
    verified, unreadable = read_verified(STORED)
    assert verified is not None
    assert unreadable == 0
    assert tuple(verified.measurements) == tuple(VERIFIED.measurements)
    assert [list(one.counts) for one in verified.distributions] == [list(d.counts) for d in VERIFIED.distributions]
    assert tuple(verified.power) == tuple(VERIFIED.power)
    assert verified.not_run == VERIFIED.not_run


def test_an_older_report_has_none() -> None:
    for report in (None, {}, {"before": None, "after": {"forget": 1.0}}, {"verified": None}):
        run = measured("run_1", RunKind.influence, "v2", None, None, report)
        assert run.verified is None
        assert (run.distributions, run.tally, run.unplotted, run.n_forgotten) == ((), {}, 0, None)
        assert (run.loss_plot(), run.difference_plot()) == (None, None)


@pytest.mark.parametrize(
    ("part", "change"),
    [
        ("measurements", {"after": math.nan}),
        ("measurements", {"outcome": "splendid"}),
        ("distributions", {"edges": [0.0, 1.0]}),
        ("distributions", {"edges": [0.0, math.inf], "counts": [1]}),
        ("distributions", {"edges": [1.0, 1.0], "counts": [1]}),
        ("distributions", {"edges": [0.0, 1.0], "counts": [-1]}),
        ("power", {"false_pass": None}),
    ],
)
def test_what_cannot_be_read_is_counted(part: str, change: dict[str, object]) -> None:
    broken = {**STORED, part: [{**STORED[part][0], **change}, *STORED[part][1:]]}
    run = measured("run_1", RunKind.influence, None, None, None, {"verified": broken})
    assert run.unreadable == 1
    assert run.verified is not None
    assert len(getattr(run.verified, part)) == len(STORED[part]) - 1


def test_members_of_later_versions_are_passed_over() -> None:
    verified, unreadable = read_verified({"measurements": [{**STORED["measurements"][0], "new": 1}], "new": 2})
    assert verified is not None
    assert (len(verified.measurements), unreadable) == (1, 0)


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (None, "–"), (math.nan, "–"), (0, "0"), (0.5, "0.500"), (-1.234, "−1.23"), (12345.6, "12346"),
        (0.00042, "0.000420"), (1e-9, "1.00 × 10^−9"), (9.99e7, "9.99 × 10^7"),
    ],
)  # fmt: skip
def test_numbers(value: float | None, written: str) -> None:
    assert number(value) == written


def test_other_words() -> None:
    assert [short(value) for value in (None, 0.1, -2.0)] == ["–", "0.1", "−2"]
    assert [percent(share) for share in (0, 0.004, 0.5, 1)] == ["0%", "0.4%", "50%", "100%"]
    assert [duration(seconds) for seconds in (0.83, 600, 9000)] == ["0.830 s", "10 min", "2.5 h"]
    names = [metric_name(name) for name in ("loss", "membership_auc", "kl-from_before", "min_k", "")]
    assert names == ["Loss", "Membership AUC", "KL from before", "Min-K %", ""]
