"""Every method's fidelity to retraining against its cost: one table, one plot, one bench.json.

lethe bench [--quick] [--out DIR] [--tofu DIR] [--methods METHOD …]
"""

import argparse
import sys
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from workers.bench import table
from workers.bench.methods import METHODS
from workers.bench.methods.method import Method
from workers.bench.plan import quick, whole
from workers.bench.plot import plot
from workers.bench.results import Report
from workers.bench.run import Bench
from workers.bench.settings import REGIMES, generated, tofu


def main() -> int:
    options = _parser().parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    plan = quick() if options.quick else whole(regimes=REGIMES, forget_sets=options.forget_sets, seeds=options.seeds)
    setting = tofu(options.tofu, options.cache) if options.tofu else generated(options.cache)
    report = _watched(Bench(setting, plan, _chosen(options.methods), options.cache, advance=lambda doing: None))
    report.save(options.out / "bench.json")
    (options.out / "bench.md").write_text(table.markdown(report), encoding="utf-8")
    plot(report, options.out)
    console = Console()
    console.print(table.render(report))
    console.print(f"bench.json, bench.md, bench.png and bench.svg are in {options.out}")
    return 0


def _watched(bench: Bench) -> Report:
    counts = (MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(BarColumn(), *counts, TextColumn("{task.description}"), console=Console(stderr=True)) as bar:
        task = bar.add_task("starting", total=bench.units, completed=-1)
        advance = partial(bar.update, task, advance=1)
        report = replace(bench, advance=lambda doing: advance(description=doing)).run()
        advance(description="done")
    return report


def _chosen(names: list[str] | None) -> Mapping[str, Method]:
    """The named methods, or all of them."""
    return METHODS if names is None else {name: METHODS[name] for name in METHODS if name in names}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="lethe bench", description="Fidelity to retraining against cost.")
    parser.add_argument("--quick", action="store_true", help="removal of a tenth and of one subject, once: minutes")
    parser.add_argument("--out", type=Path, default=Path("bench"), help="where table, plot and figures go")
    parser.add_argument("--tofu", type=Path, metavar="DIR", help="on TOFU, from a directory with its JSON files")
    parser.add_argument("--methods", nargs="+", choices=sorted(METHODS), metavar="METHOD", help="only these")
    parser.add_argument("--forget-sets", type=int, default=3, help="forget sets a task and share (default 3)")
    parser.add_argument("--seeds", type=int, default=3, help="seeds a method (default 3)")
    parser.add_argument("--cache", type=Path, default=Path(".lethe/bench"), help="keeps what was trained")
    return parser


if __name__ == "__main__":
    sys.exit(main())
