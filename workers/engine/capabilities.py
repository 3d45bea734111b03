"""What a line supports, and why not the rest."""

from service.domain.engine import Capability, Grade, ImportJob, TrainJob, out_of_fold_capability
from workers.engine.folds import every_fold


def capabilities(job: TrainJob | ImportJob) -> tuple[Capability, ...]:
    """The strategies `influence` and `rebuild`, the grades of the former, and the claim levels `E`, `C`, `M`.

    Lethe's own training never packs, not even when it rebuilds an import that did.
    """
    data, recipe = job.data, job.recipe
    packed = (
        data.format.packing and isinstance(job, ImportJob) and "Training packed several instances into one sequence."
    )
    return (
        _capability("influence", packed),
        _capability(Grade.end_point, packed),
        _capability(Grade.trajectory, _without_vectors(job)),
        _out_of_fold(job, packed),
        _capability("rebuild", recipe is None and "There is no recipe to retrain by."),
        _capability("E", recipe is None and "An exact claim needs a rebuild, and there is no recipe to retrain by."),
        _capability("C", "No retrained oracles were made to calibrate against."),
        _capability("M", not data.holdout and "There are no never-seen instances to measure against."),
    )


def _without_vectors(job: TrainJob | ImportJob) -> str | bool:
    if isinstance(job, ImportJob):
        return "It was trained elsewhere, without erasure vectors."
    return not job.recipe.erasure_vectors and "It was trained without erasure vectors (recipe.erasure_vectors)."


def _out_of_fold(job: TrainJob | ImportJob, packed: str | bool) -> Capability:
    """An anchor starts without any fold."""
    obstacle = packed or (job.recipe is None and "There is no recipe to train leave-group-out adapters by.")
    if obstacle:
        return _capability(Grade.out_of_fold, obstacle)
    return out_of_fold_capability(0, len(every_fold(job.data.examples)))


def _capability(name: str, obstacle: str | bool) -> Capability:
    return Capability(name, not obstacle, obstacle if isinstance(obstacle, str) else None)
