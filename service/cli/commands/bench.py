"""`lethe bench`: the fidelity-against-cost benchmark, on the generated world, TOFU or a registered line."""

import importlib.util
import os
import sys

import typer

from service.cli.session import REFUSED

MODULE = "workers.bench"


def bench(context: typer.Context) -> None:
    """Compare every method with retraining: one table, one plot. `lethe bench --help` lists the options."""
    if importlib.util.find_spec("torch") is None:
        typer.echo("The benchmark runs where the workers run: install lethe[worker,bench] there.", err=True)
        raise typer.Exit(REFUSED)
    # In place of this process: the command line itself never loads torch.
    os.execv(sys.executable, [sys.executable, "-m", MODULE, *context.args])
