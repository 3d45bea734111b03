"""Every method's fidelity to retraining against its cost: one table, one plot, one bench.json.

lethe bench [--quick] [--out DIR] [--tofu DIR | --adapter NAME] [--methods METHOD …]

With --adapter it measures on a line of the deployment that the LETHE_ variables describe, which is only read. What
is then derived from the line's data goes to a temporary directory and with it, unless --cache names a place.
"""

import argparse
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from functools import partial
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from service.domain.errors import LetheError
from service.settings import Settings
from workers.bench import table
from workers.bench.cases import Line
from workers.bench.methods import METHODS
from workers.bench.methods.method import Method
from workers.bench.plan import quick, whole
from workers.bench.plot import plot
from workers.bench.registered import open_registered
from workers.bench.results import Report
from workers.bench.run import Advance, Bench
from workers.bench.settings import FEW_PEOPLE, PEOPLE, Setting, generated, tofu
from workers.engine.errors import EngineRefusal

CACHE = Path(".lethe/bench")
DONE, REFUSED = 0, 2


def main() -> int:
    options = _parser().parse_args()
    try:
        with _place(options) as (setting, line, cache):
            _measure(options, setting, line, cache)
    except (LetheError, EngineRefusal) as refusal:
        fix = getattr(refusal, "fix", None)
        print(refusal.detail, *filter(None, [fix]), file=sys.stderr)
        return REFUSED
    return DONE


@contextmanager
def _place(options: argparse.Namespace) -> Iterator[tuple[Setting, Line | None, Path]]:
    """The setting, its own line if it has one, and where trained adapters are kept."""
    if options.adapter is None:
        cache = options.cache or CACHE
        people = FEW_PEOPLE if options.quick else PEOPLE
        yield tofu(options.tofu, cache) if options.tofu else generated(cache, people), None, cache
        return
    # A run that is told to end must not leave behind what was derived from people's data.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    with TemporaryDirectory(prefix="lethe-bench-") as name:
        setting, line = open_registered(Settings(), options.adapter, Path(name))
        yield setting, line, options.cache or Path(name)


def _measure(options: argparse.Namespace, setting: Setting, line: Line | None, cache: Path) -> None:
    options.out.mkdir(parents=True, exist_ok=True)
    regimes = tuple(setting.recipes)
    every = partial(whole, regimes=regimes, forget_sets=options.forget_sets, seeds=options.seeds)
    plan = quick(regimes[0]) if options.quick else every()
    report = _watched(Bench(setting, plan, _chosen(options.methods), cache, advance=lambda doing: None, line=line))
    report.save(options.out / "bench.json")
    (options.out / "bench.md").write_text(table.markdown(report), encoding="utf-8")
    plot(report, options.out)
    console = Console()
    console.print(table.render(report, console.width))
    console.print(f"bench.md (every column), bench.json, bench.png and bench.svg are in {options.out}")


def _watched(bench: Bench) -> Report:
    """The report; meanwhile standard error shows a bar, or has a line a unit where nobody would see a bar move."""
    console = Console(stderr=True)
    if not console.is_terminal:
        return replace(bench, advance=_line_a_unit(bench.units)).run()
    counts = (MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(BarColumn(), *counts, TextColumn("{task.description}"), console=console) as bar:
        task = bar.add_task("starting", total=bench.units, completed=-1)
        advance = partial(bar.update, task, advance=1)
        report = replace(bench, advance=lambda doing: advance(description=doing)).run()
        advance(description="done")
    return report


def _line_a_unit(units: int) -> Advance:
    """Says which of the units begins, after how long, and what it is."""
    numbers, start = count(1), monotonic()

    def advance(doing: str) -> None:
        elapsed = timedelta(seconds=int(monotonic() - start))
        print(f"{next(numbers)}/{units} {elapsed} {doing}", file=sys.stderr, flush=True)

    return advance


def _chosen(names: list[str] | None) -> Mapping[str, Method]:
    """The named methods, or all of them."""
    return METHODS if names is None else {name: METHODS[name] for name in METHODS if name in names}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="lethe bench", description="Fidelity to retraining against cost.")
    parser.add_argument("--quick", action="store_true", help="a tenth and one subject, of fewer people: minutes")
    parser.add_argument("--out", type=Path, default=Path("bench"), help="where table, plot and figures go")
    place = parser.add_mutually_exclusive_group()
    place.add_argument("--tofu", type=Path, metavar="DIR", help="on TOFU, from a directory with its JSON files")
    place.add_argument(
        "--adapter",
        metavar="NAME",
        help="on a registered line and its data, with oracles retrained by its recipe; the LETHE_ variables say where "
        "the deployment is, which is only read",
    )
    parser.add_argument("--methods", nargs="+", choices=sorted(METHODS), metavar="METHOD", help="only these")
    parser.add_argument("--forget-sets", type=int, default=3, help="forget sets a task and share (default 3)")
    parser.add_argument("--seeds", type=int, default=3, help="seeds a method (default 3)")
    parser.add_argument(
        "--cache",
        type=Path,
        metavar="DIR",
        help=f"keeps what was trained (default {CACHE}). With --adapter nothing is kept unless a directory is named "
        "here: its weights are derived from the line's data, so delete it afterwards",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
