"""What adapters predict for the instances that they were not trained on.

For every fold an adapter is trained without it, while a worker has nothing else to do. Only its predictions for
the left-out instances are kept: each is a sample, made before any request, of what a retrain without the
instance would answer. Leaving groups out in turn is cross-validation; here it serves as a target to unlearn towards.

    {partition}-{fold}.safetensors    top predictions at the label positions of the fold's instances

A file is personal data of the people in its fold, and derived from everybody else's, like the anchor's weights.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from service.domain.adapters import Recipe
from service.domain.engine import TrainingSet, Yielded
from workers.engine.errors import EngineRefusal
from workers.engine.folds import PARTITIONS, Fold, every_fold
from workers.engine.losses import label_logits
from workers.engine.resident import Resident
from workers.engine.schedule import derived_seed
from workers.engine.stages import ProgressCallback
from workers.engine.tokens import Tokens, collate
from workers.engine.top_predictions import TopPredictions, geometric_mean, joined
from workers.engine.training import fingerprint, train


def missing_folds(
    data: TrainingSet, directories: Sequence[Path], mark: str, partitions: Sequence[int] = PARTITIONS
) -> list[Fold]:
    """The folds that have no predictions yet for the anchor with this fingerprint, whole partitions first."""
    return [
        fold
        for fold in every_fold(data.examples, partitions)
        if all(_mark(_file(directory, fold)) != mark for directory in directories)
    ]


def train_fold(
    resident: Resident,
    data: TrainingSet,
    recipe: Recipe,
    tokens: Mapping[str, Tokens],
    fold: Fold,
    directory: Path,
    *,
    checkpoint: Path,
    resume: Path | None = None,
    progress: ProgressCallback,
    should_yield: Callable[[], bool],
) -> Yielded | None:
    """Trains one fold's adapter and stores below `directory` what it predicts; None when done.

    It yields to `checkpoint` and goes on from `resume` as training does. The slots of the fold stay empty, as
    in a rebuild, and its seed is its own. The resident holds the fold's weights afterwards. Costs a training
    run on what is left. Memory: a training run's.
    """
    rest = without(data, fold)
    if rest.examples:
        outcome = train(
            resident,
            rest,
            fold_recipe(recipe, fold),
            tokens,
            checkpoint=checkpoint,
            resume=resume,
            progress=progress,
            should_yield=should_yield,
        )
        if isinstance(outcome, Yielded):
            return outcome
    else:
        resident.initialise(derived_seed(recipe.seed, "initialisation", 0))
    members = sorted(fold.members)
    found = top_predictions(resident, [tokens[name] for name in members])
    _save(_file(directory, fold), dict(zip(members, found, strict=True)), fingerprint(resident, data, recipe, tokens))
    return None


def without(data: TrainingSet, fold: Fold) -> TrainingSet:
    """The training set without the fold, whose slots stay empty."""
    kept = [
        (example, slot)
        for example, slot in zip(data.examples, data.slots, strict=True)
        if example.id not in fold.members
    ]
    return replace(data, examples=tuple(example for example, _ in kept), slots=tuple(slot for _, slot in kept))


def fold_recipe(recipe: Recipe, fold: Fold) -> Recipe:
    """The anchor's recipe under a seed of the fold's own, so that two partitions' samples are independent."""
    seed = derived_seed(recipe.seed, f"out-of-fold/{fold.partition}", fold.index)
    return recipe.model_copy(update={"seed": seed, "erasure_vectors": False})


@torch.no_grad()
def top_predictions(resident: Resident, tokens: Sequence[Tokens]) -> list[TopPredictions]:
    """What the resident's weights predict at each instance's label positions, on the CPU."""

    def predict(size: int) -> list[TopPredictions]:
        found = []
        for start in range(0, len(tokens), size):
            part = tokens[start : start + size]
            logits, _ = label_logits(resident.model, collate(part, resident.pad_id).to(resident.device))
            top = TopPredictions.of(logits.log_softmax(-1)).to(torch.device("cpu"))
            found += top.split([one.label_count for one in part])
        return found

    return resident.micro_batch.attempt(predict)


@dataclass(frozen=True, slots=True)
class OutOfFold:
    """Every prediction there is of each instance: one a finished partition."""

    found: Mapping[str, tuple[TopPredictions, ...]]
    vocabulary: int

    @classmethod
    def load(cls, directories: Sequence[Path], mark: str | None, vocabulary: int) -> "OutOfFold":
        """Reads the files of the anchor with this fingerprint, or all; others are as good as absent.

        Raises:
            EngineRefusal: `out-of-fold` if a file is unreadable.
        """
        found: dict[str, tuple[TopPredictions, ...]] = {}
        files = [file for directory in directories for file in directory.glob("*.safetensors")]
        for file in sorted(files, key=lambda file: file.name):
            if mark is None or _mark(file) == mark:
                for name, top in _load(file).items():
                    found[name] = (*found.get(name, ()), top)
        return cls(found, vocabulary)

    def covers(self, ids: Iterable[str]) -> bool:
        return all(name in self.found for name in ids)

    def targets(self, ids: Sequence[str]) -> list[TopPredictions]:
        """For each instance the geometric mean of its predictions. Memory: 4·V bytes a position, one at a time."""
        return [geometric_mean(self.found[name], self.vocabulary) for name in ids]


def _file(directory: Path, fold: Fold) -> Path:
    return directory / f"{fold.name}.safetensors"


def _save(file: Path, found: Mapping[str, TopPredictions], mark: str) -> None:
    """Moved into place at once: what was interrupted does not look finished."""
    file.parent.mkdir(parents=True, exist_ok=True)
    every = joined(list(found.values()))
    tensors = {
        "tokens": every.tokens.int(),
        "logprobs": every.logprobs.half(),
        "rest": every.rest.half(),
        "counts": torch.tensor([len(one.rest) for one in found.values()], dtype=torch.int32),
    }
    unfinished = file.with_suffix(".part")
    save_file(
        {name: tensor.contiguous() for name, tensor in tensors.items()},
        unfinished,
        metadata={"mark": mark, "ids": json.dumps(list(found))},
    )
    unfinished.replace(file)


def _mark(file: Path) -> str | None:
    """The fingerprint that a file was made for; None where there is no readable file."""
    try:
        with safe_open(file, framework="pt") as opened:
            return (opened.metadata() or {}).get("mark")
    except (OSError, SafetensorError):
        return None


def _load(file: Path) -> dict[str, TopPredictions]:
    try:
        with safe_open(file, framework="pt") as opened:
            names: list[str] = json.loads(opened.metadata()["ids"])
            tensors: dict[str, Tensor] = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118
        every = TopPredictions(tensors["tokens"].long(), tensors["logprobs"].float(), tensors["rest"].float())
        return dict(zip(names, every.split(tensors["counts"].tolist()), strict=True))
    except (OSError, SafetensorError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise EngineRefusal("out-of-fold", f"The predictions are unreadable: {type(error).__name__}.") from error
