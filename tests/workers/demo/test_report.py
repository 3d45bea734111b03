"""The demonstration passes only with figures that deserve it."""

import json

import pytest

from service.domain.probes import ProbeOutcome
from workers.demo.cast import CORRECTED, FORGOTTEN, NEVER_SEEN, RETAINED
from workers.demo.exam import Mark, Marks, Question
from workers.demo.report import Report, Swap, Times

TIMES = Times(
    train=50, erase=3, rebuild=48, retrain_apart=40,
    train_stages={"training": 30.0, "preparing": 15.0}, erase_stages={"solving": 2.0}, rebuild_stages={},
)  # fmt: skip


def _marks(forgotten: float, retained: float, never_seen: float = 2.0) -> Marks:
    losses = {FORGOTTEN: forgotten, CORRECTED: 0.1, RETAINED: retained, NEVER_SEEN: never_seen}
    return Marks(
        marks=tuple(
            Mark(question=Question(group=group, prompt="?", completion=" yes."), loss=loss, answer="yes.")
            for group, loss in losses.items()
        )
    )


def _report(*, v1: Marks, v2: Marks, level: str = "E", proven: bool = True) -> Report:
    probe = ProbeOutcome.proven if proven else ProbeOutcome.base
    swap = Swap(
        version="bot@v1", digest="sha256:0", download_s=0, swap_s=0, weights_are_the_files=True,
        probe=probe, probe_distances={"version": 0, "base": 1}, proven=proven,
    )  # fmt: skip
    retrained = _marks(2.1, 0.1)
    return Report(
        environment={},
        request={},
        exams={"v1": v1, "v2": v2, "retrained": retrained, "v3": retrained},
        swaps=(swap,),
        times=TIMES,
        claim_levels={"v2": "M", "v3": level},
        rebuild_difference=0.0,
    )


def _unmet(report: Report) -> list[str]:
    return [check.figure for check in report.checks() if not check.is_met]


MEMORISED, GOOD = _marks(0.1, 0.1), _marks(1.8, 0.1)


def test_good_figures_meet_every_demand() -> None:
    assert _unmet(_report(v1=MEMORISED, v2=GOOD)) == []


@pytest.mark.parametrize(
    ("report", "figure"),
    [
        (_report(v1=_marks(0.1, 1.01), v2=_marks(1.8, 1.01)), "50.5%"),
        (_report(v1=MEMORISED, v2=_marks(1.69, 0.1)), "79.5%"),
        (_report(v1=MEMORISED, v2=_marks(1.8, 0.106)), "+6.0%"),
        (_report(v1=MEMORISED, v2=GOOD, level="M"), "M"),
        (_report(v1=MEMORISED, v2=GOOD, proven=False), "none"),
    ],
    ids=["not memorised", "not forgotten", "damaged", "not exact", "not proven"],
)
def test_each_demand_can_fail_the_demonstration(report: Report, figure: str) -> None:
    assert _unmet(report) == [figure]


def test_the_file_holds_what_the_tables_show() -> None:
    document = json.loads(_report(v1=MEMORISED, v2=GOOD).to_json())
    assert document["losses"]["v2"][FORGOTTEN] == 1.8
    assert document["forgotten_progress"]["v2"] == pytest.approx(0.85)
    assert document["erase_time_over_training_time"] == pytest.approx(0.1)
    assert document["answers"]["v1"][0] == {
        "group": FORGOTTEN, "prompt": "?", "expected": " yes.", "answer": "yes.", "loss": 0.1,
    }  # fmt: skip
    assert [check["is_met"] for check in document["checks"]] == [True] * 5
