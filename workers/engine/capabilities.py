"""What a line supports, and why not the rest."""

from service.domain.engine import Capability, ImportJob, TrainJob


def capabilities(job: TrainJob | ImportJob) -> tuple[Capability, ...]:
    """The strategies `influence` and `rebuild`, and the claim levels `E`, `C`, `M`.

    Lethe's own training never packs, not even when it rebuilds an import that did.
    """
    data, recipe = job.data, job.recipe
    packed = data.format.packing and isinstance(job, ImportJob)
    return (
        _capability("influence", packed and "Training packed several instances into one sequence."),
        _capability("rebuild", recipe is None and "There is no recipe to retrain by."),
        _capability("E", recipe is None and "An exact claim needs a rebuild, and there is no recipe to retrain by."),
        _capability("C", "No retrained oracles were made to calibrate against."),
        _capability("M", not data.holdout and "There are no never-seen instances to measure against."),
    )


def _capability(name: str, obstacle: str | bool) -> Capability:
    return Capability(name, not obstacle, obstacle if isinstance(obstacle, str) else None)
