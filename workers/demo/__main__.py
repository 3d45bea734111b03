"""`python -m workers.demo`: tell the story, print the tables, leave the figures, and judge them.

Exit code 0 only if every demand on the figures is met.
"""

import argparse
import os
import sys
import time
from pathlib import Path

from rich.console import Console

from service.domain.errors import LetheError
from workers.demo.embedded import StackFailed
from workers.demo.evidence import verify_command
from workers.demo.peer import PeerFailed
from workers.demo.report import Report
from workers.demo.story import DOWNLOADS, LINE, Story, StoryFailed
from workers.demo.table import answers_table, checks_table, losses_table, times_table

DIRECTORY = Path(".lethe/demo")
# Columns of the tables where the output goes to a file or pipe.
WIDTH = 120
INTERRUPTED = 130


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m workers.demo", description=__doc__)
    parser.add_argument("--directory", type=Path, default=DIRECTORY, help="where everything is left")
    directory: Path = parser.parse_args().directory
    # Nothing is downloaded from the Hub, and the processes started from here inherit that.
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    console = Console(highlight=False, width=None if sys.stdout.isatty() else WIDTH)
    started = time.perf_counter()
    try:
        report = Story(directory, console).tell()
    except (StoryFailed, StackFailed, PeerFailed, LetheError) as error:
        console.print(f"[bold red]The demonstration stopped.[/] {type(error).__name__}")
        console.print(str(error), markup=False)
        return 1
    except KeyboardInterrupt:
        console.print("Stopped.")
        return INTERRUPTED
    (directory / "report.json").write_text(report.to_json() + "\n", encoding="utf-8")
    return _conclude(console, report, directory, time.perf_counter() - started)


def _conclude(console: Console, report: Report, directory: Path, seconds: float) -> int:
    checks = list(report.checks())
    for table in (
        losses_table(report.exams),
        answers_table(report.exams),
        times_table(report.times),
        checks_table(checks),
    ):
        console.print()
        console.print(table)
    difference = report.rebuild_difference
    same = "bit-equal" if difference == 0 else f"within {difference:.1e} of each other"
    console.print(f"\nThe rebuilt v3 and the adapter retrained apart are {same}.")
    console.print(f"Figures: {directory / 'report.json'}. It took {seconds:.0f} s.", markup=False)
    console.print("Verify the request's certificate against v3's files, without the service:", markup=False)
    command = verify_command(directory, f"{DOWNLOADS}/{LINE}-v3")
    console.print(f"  {command}", markup=False, soft_wrap=True)
    for check in checks:
        if not check.is_met:
            console.print(f"[bold red]Not met:[/] {check.demand} ({check.figure})")
    return 0 if all(check.is_met for check in checks) else 1


if __name__ == "__main__":
    sys.exit(main())
