"""A progress bar for whoever waits on a terminal."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from service.client.following import Show


@contextmanager
def progress_bar(label: str, *, console: Console | None = None) -> Iterator[Show]:
    """A bar on standard error while the context is open; what it gives is told how far things are.

    Where standard error is no terminal it is a line a stage.
    """
    console = console or Console(stderr=True, highlight=False)
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.fields[stage]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(label, total=1.0, stage="queued")
        shown = ""

        def show(stage: str, share: float) -> None:
            nonlocal shown
            if stage != shown and not console.is_terminal:
                console.print(f"{label}: {stage}", markup=False)
            shown = stage
            progress.update(task, stage=stage, completed=share)

        yield show
