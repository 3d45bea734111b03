"""bench.json: what goes in comes out."""

import math
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError

from tests.workers.bench.some_results import report, result
from workers.bench.results import Failure, Report, environment

FAILURE = Failure(
    method="lissa",
    world="generated",
    task="removal",
    share="a tenth",
    regime="memorised",
    forget_set=0,
    seed=0,
    reason="its weights are not finite",
)


def test_a_report_survives_its_file(tmp_path: Path) -> None:
    written = report(result("lethe", 0.03, 0.9, fidelity_reworded=1.4), failures=(FAILURE,))
    written.save(tmp_path / "bench.json")
    assert Report.load(tmp_path / "bench.json") == written


def test_a_method_that_diverged_survives_it_too(tmp_path: Path) -> None:
    report(result("ascent", 0.1, math.inf, retained_loss=math.nan)).save(tmp_path / "bench.json")
    (found,) = Report.load(tmp_path / "bench.json").results
    assert math.isinf(found.fidelity)
    assert math.isnan(found.retained_loss)


def test_time_is_a_share_of_the_retrains_of_the_same_ledger() -> None:
    found = report(
        result("retrain", 1, 1, seconds=30, seed=0),
        result("retrain", 1, 1, seconds=50, seed=1),
        result("lethe", 0.03, 0.9, seconds=2),
        result("lethe", 0.03, 0.9, seconds=2, forget_set=1),
    ).results
    assert [item.seconds_share for item in found] == [0.75, 1.25, 0.05, None]


def test_a_result_needs_all_its_figures() -> None:
    fields = result("lethe", 0.03, 0.9).model_dump()
    del fields["floor"]
    with pytest.raises(ValidationError):
        type(result("lethe", 0.03, 0.9)).model_validate(fields)


def test_the_environment_is_this_one() -> None:
    found = environment(torch.device("cpu"))
    assert found.torch == torch.__version__
    assert found.threads == torch.get_num_threads()
