"""The soak itself, small: it must go on working, and must be able to fail."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from service.client.answers.requests import AcceptedRequest
from tests.load.soak.figures import Figures
from tests.load.soak.intake import Sent
from tests.load.soak.killer import Kill
from tests.load.soak.plan import Plan, Victim
from tests.load.soak.repair import Repair
from tests.load.soak.soak import soak
from tests.load.soak.verdict import demands, report

PLAN = Plan(
    requests=40,
    lines=2,
    kills=0.15,
    seed=3,
    rate=4,
    coalesce_s=4,
    rebuild_after=15,
    limit_s=280,
    lease_s=6,
)
NOTHING = Figures(
    planned=0,
    planned_kills=0,
    sent=(),
    kills=(),
    repairs=(),
    states=Counter(),
    absent=0,
    unfinished=0,
    extra_requests=0,
    extra_versions=0,
    extra_ends=0,
    undelivered=0,
    untold=0,
    versions=0,
    runs=Counter(),
    broken_invariant=None,
    leftovers=0,
    wall_s=0.0,
    drained_s=0.0,
)


@pytest.mark.faults
@pytest.mark.matrix
@pytest.mark.postgres
def test_nothing_is_lost_or_done_twice_while_processes_die(tmp_path: Path) -> None:
    assert sorted(victim for _, victim in PLAN.deaths) == sorted(Victim)
    figures = soak(PLAN, tmp_path, say=lambda _: None)
    broken = [demand.name for demand in demands(figures) if not demand.is_kept and not demand.concerns_speed]
    assert not broken, "\n".join(report(figures))
    assert sorted(kill.victim for kill in figures.kills) == sorted(Victim)
    assert figures.accepted == 40
    assert figures.versions >= 4, "each line was answered"


@pytest.mark.parametrize(
    "bad",
    [
        {"absent": 1},
        {"unfinished": 1},
        {"extra_requests": 1},
        {"extra_versions": 1},
        {"extra_ends": 1},
        {"undelivered": 1},
        {"untold": 1},
        {"broken_invariant": "a version is missing"},
        {"leftovers": 1},
        {"repairs": [Repair(Victim.engine, 6.0, None)]},
        {"repairs": [Repair(Victim.engine, 91.0, 92.0)]},
        {"kills": [Kill(Victim.api, 1, 0.0, ())], "planned_kills": 1},
        {"kills": [Kill(Victim.engine, 1, 0.0, ())], "planned_kills": 2},
        {"planned": 1},
    ],
)
def test_a_demand_that_is_broken_is_named(bad: Mapping[str, object]) -> None:
    assert all(demand.is_kept for demand in demands(NOTHING))
    figures = replace(NOTHING, **bad)
    (broken,) = [demand for demand in demands(figures) if not demand.is_kept]
    assert f"BROKEN          {broken.name}" in list(report(figures))


def test_intake_is_judged_by_what_met_no_api_that_was_away() -> None:
    accepted = AcceptedRequest.model_construct(id="req_1")
    waits = {0.0: 0.01, 9.8: 0.3, 11.0: 0.2, 14.0: 0.03, 25.0: 0.04}
    sent = [
        Sent(PLAN.orders[0], "key", due=due, attempts=1, answered=due + waited, accepted=accepted)
        for due, waited in waits.items()
    ]
    kills = [Kill(Victim.other_api, 1, 10.0, (), back_s=3.0), Kill(Victim.control, 2, 25.0, (), back_s=3.0)]
    figures = replace(NOTHING, sent=sent, kills=kills)
    assert figures.undisturbed_waits == pytest.approx([0.01, 0.03, 0.04])
    assert figures.waits == pytest.approx(sorted(waits.values()))


def test_a_seed_decides_everything() -> None:
    again = replace(PLAN)
    assert (again.orders, again.deaths) == (PLAN.orders, PLAN.deaths)
    other = replace(PLAN, seed=4)
    assert other.orders != PLAN.orders
    assert other.deaths != PLAN.deaths
