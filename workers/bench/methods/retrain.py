"""Full retraining on the edited data, under a seed of its own: what every cost is a share of."""

from torch import Tensor

from workers.bench.cases import Case
from workers.bench.lines import after, tokens_after, train_on

# Apart from the seeds of the oracles, which it would otherwise be equal to.
SEED = 1001


def retrain(case: Case) -> Tensor:
    """The weights [p] of a whole training run."""
    line = case.line
    recipe = line.recipe.model_copy(update={"seed": SEED + case.seed, "erasure_vectors": False})
    train_on(line.resident, after(line.data, case.edits), recipe, tokens_after(line, case.edits))
    return line.resident.parameters.get()
