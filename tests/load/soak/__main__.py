"""Soak the service: `python -m tests.load.soak [--requests N] [--lines N] [--seed N] …` (see `--help`).

Thousands of unlearning requests arrive at a rate, on many lines, while the processes of the real service are killed by
chance and started again by the stack that keeps them. In the end nothing may be lost, nothing done twice, and whatever
was killed must have been back in time. Prints figures and ends with status 1 if a demand is broken. It ends by itself.
"""

import argparse
import os
import random
import signal
import sys
import tempfile
from contextlib import nullcontext
from pathlib import Path

from tests.load.soak.plan import Plan
from tests.load.soak.soak import soak
from tests.load.soak.verdict import demands, report

# Each process computes on its own; a thread pool per library only adds contention.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TQDM_DISABLE", "1")


def main() -> int:
    plan, directory = _arguments()
    signal.signal(signal.SIGALRM, _too_late)
    signal.alarm(round(plan.limit_s))
    _say(
        f"{plan.requests} requests on {plan.lines} lines at {plan.rate:g}/s, {len(plan.deaths)} kills, "
        f"seed {plan.seed}, lease {plan.lease_s:g} s"
    )
    with nullcontext(directory) if directory else tempfile.TemporaryDirectory(prefix="lethe-soak-") as place:
        figures = soak(plan, Path(place), say=_say)
    for line in report(figures):
        _say(line)
    return 0 if all(demand.is_kept for demand in demands(figures)) else 1


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _arguments() -> tuple[Plan, Path | None]:
    parser = argparse.ArgumentParser(prog="python -m tests.load.soak", description=__doc__)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--lines", type=int, default=200)
    parser.add_argument("--kills", type=float, default=0.01, help="kills for each request")
    parser.add_argument("--seed", type=int, default=random.randrange(10_000), help="by chance unless given; printed")
    parser.add_argument("--rate", type=float, default=10, help="requests a second")
    parser.add_argument(
        "--coalesce", type=float, default=300, help="mean seconds that a line waits to answer together"
    )
    parser.add_argument("--rebuild-after", type=int, default=60, help="changes of a line after which it is retrained")
    parser.add_argument("--limit", type=float, default=3600, help="seconds after which it ends, finished or not")
    parser.add_argument("--lease", type=float, default=60, help="LETHE_LEASE_S; heartbeat and reconciler: a quarter")
    parser.add_argument("--directory", type=Path, help="where its files stay, logs among them; else nothing is left")
    given = parser.parse_args()
    return Plan(
        requests=given.requests,
        lines=given.lines,
        kills=given.kills,
        seed=given.seed,
        rate=given.rate,
        coalesce_s=given.coalesce,
        rebuild_after=given.rebuild_after,
        limit_s=given.limit,
        lease_s=given.lease,
    ), given.directory


def _too_late(*_: object) -> None:
    """Ends everything in order, and, should that hang, without."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(60)
    raise SystemExit("the limit is over")


if __name__ == "__main__":
    sys.exit(main())
