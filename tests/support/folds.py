"""A house whose lines want folds: the test is the worker that trains them while it is idle."""

from pathlib import Path

from service.domain.engine import Job
from service.domain.runs import Lane
from service.flows.assemble import assemble
from service.flows.claim import Claim
from service.flows.fail import make_room
from service.flows.leave_out import must_make_room
from service.flows.reconcile import Repairs, reconcile
from service.flows.trees import seal_tree
from service.store.tables import Run, Version
from tests.support.house import House, people


def line_with_folds(house: House) -> str:
    """A line that wants folds, and a worker with nothing to do."""
    house.show_worker()
    return house.line("bot", people(6), out_of_fold=True)


def repair(house: House, **options: float) -> Repairs:
    return reconcile(house.store, house.blobs, **options)


def claim_fold(house: House, line: str) -> Claim:
    repair(house)
    return house.claim_queued(line, Lane.idle)


def run_of(house: House, claimed: Claim) -> Run:
    with house.store.read() as unit:
        run = unit.runs.get(claimed.run_id)
        assert run is not None
        return run


def anchor_of(house: House, line: str) -> Version:
    with house.store.read() as unit:
        return unit.versions.get(str(unit.lines.get(line).anchor_id))


def makes_room(house: House, claimed: Claim) -> bool:
    with house.store.read() as unit:
        return must_make_room(unit, claimed)


def yield_to_others(house: House, claimed: Claim) -> str:
    """The worker stores a checkpoint and hands the run back; returns the checkpoint's prefix."""
    source = house.directory / claimed.run_id / str(claimed.fence)
    source.mkdir(parents=True)
    (source / "state").write_text("weights")
    tree = seal_tree(house.vault, house.blobs, source, f"runs/{claimed.run_id}/{claimed.fence}/checkpoint")
    with house.store.write() as unit:
        make_room(unit, claimed, tree)
    return tree.prefix


def is_readable(house: House, prefix: str) -> bool:
    """Whether there is a key to a sealed tree."""
    with house.store.read() as unit:
        row = unit.trees.find(prefix)
        return row is not None and row.wrapped_key is not None


def rebuild(house: House, line: str) -> None:
    house.rebuild(house.begin_rebuild(line))


def job_of(house: House, claimed: Claim) -> Job:
    with house.store.read() as unit:
        return assemble(unit, house.vault, claimed, materialise=Path, out=house.directory)
