"""Every method's fidelity to retraining against its cost: one table, one plot, one bench.json.

python -m workers.bench [--quick] [--out DIR] [--world generated | --tofu DIR | --adapter NAME]
"""

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from workers.bench import table
from workers.bench.methods import METHODS
from workers.bench.methods.method import Method
from workers.bench.plan import Plan, quick, whole
from workers.bench.plot import plot
from workers.bench.results import Report
from workers.bench.run import Bench
from workers.bench.settings import REGIMES, generated, tofu


def main() -> int:
    options = _parser().parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    setting = tofu(options.tofu, options.cache) if options.tofu else generated(options.cache)
    plan = quick() if options.quick else whole(regimes=REGIMES, forget_sets=options.forget_sets, seeds=options.seeds)
    report = _run(Bench(setting, plan, _chosen(options.methods), options.cache, lambda _: None))
    report.save(options.out / "bench.json")
    plot(report, options.out)
    Console().print(table.render(report))
    (options.out / "bench.md").write_text(table.markdown(report), encoding="utf-8")
    Console().print(f"bench.json, bench.md, bench.png and bench.svg are in {options.out}")
    return 0


def _run(bench: Bench) -> Report:
    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("starting", total=bench.units, completed=-1)
        watched = Bench(bench.setting, bench.plan, bench.methods, bench.cache, lambda text: bar.update(task, advance=1, description=text))
        report = watched.run()
        bar.update(task, advance=1, description="done")
    return report


def _chosen(names: list[str] | None) -> Mapping[str, Method]:
    """The named methods, or all of them; full retraining is always there, since costs are shares of it."""
    if names is None:
        return METHODS
    return {name: METHODS[name] for name in METHODS if name in names}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="lethe bench", description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="removal of a tenth and of one subject, once: minutes")
    parser.add_argument("--out", type=Path, default=Path("bench"), help="where table, plot and figures go")
    parser.add_argument("--tofu", type=Path, metavar="DIR", help="run on TOFU, from a directory with its JSON files")
    parser.add_argument("--methods", nargs="+", choices=sorted(METHODS), metavar="METHOD", help="only these: %(choices)s")
    parser.add_argument("--forget-sets", type=int, default=3, help="forget sets a task and share (default 3)")
    parser.add_argument("--seeds", type=int, default=3, help="seeds a method (default 3)")
    parser.add_argument("--cache", type=Path, default=Path(".lethe/bench"), help="keeps lines and oracles between runs")
    return parser


if __name__ == "__main__":
    sys.exit(main())
