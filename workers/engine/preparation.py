"""What the engine prepares once for every anchor, so that a request costs only the ledger.

preparation.safetensors     rows [S, p], their Gram matrix [S, S], damping [p]
preparation.json            the rows' instance ids, calibration, loss levels
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from service.domain.engine import Progress, Stage, TrainingSet
from workers.engine.calibration import Calibration, calibrate
from workers.engine.curvature import Curvature
from workers.engine.errors import EngineRefusal
from workers.engine.evaluation import adapter_losses, base_losses
from workers.engine.never_seen import NeverSeenLevel
from workers.engine.record import TrainingRecord
from workers.engine.resident import Resident
from workers.engine.right_hand_side import instance_weights
from workers.engine.sketch import Sketch, sample_ids, sketch
from workers.engine.stages import ProgressCallback
from workers.engine.tokens import Tokens

# Instances whose loss under the anchor gives the training level.
LEVEL_SAMPLE = 256
# KL on retained instances that an update may cost, as a share of what memorising is worth in loss.
KL_SHARE = 0.1


@dataclass(frozen=True, slots=True)
class Preparation:
    """Curvature, calibration, and the loss levels that an update aims at.

    `training_level` is the anchor's mean loss on what it was trained on, `never_seen_level` on its holdout;
    that and `never_seen` are None without one.

    Memory: (rows + 4) p bytes and 8S², rows = 2S (bf16) or 4S (fp32, where they take at most 1 GiB).
    """

    sketch: Sketch
    calibration: Calibration
    training_level: float
    never_seen_level: float | None
    never_seen: NeverSeenLevel | None

    @property
    def kl_budget(self) -> float:
        """KL on retained instances, nats a label token: a tenth of the loss that memorising took off them."""
        level, unseen = self.training_level, self.never_seen_level
        return KL_SHARE * (level if unseen is None else max(unseen - level, 0.0))


def prepare(
    resident: Resident,
    data: TrainingSet,
    tokens: Mapping[str, Tokens],
    record: TrainingRecord | None,
    artefacts: Path,
    progress: ProgressCallback,
) -> Preparation:
    """Sketches the curvature of the resident's adapter, calibrates, and stores the result below `artefacts`.

    Costs, in instance gradients: S, at most 4608, and the calibration's few hundred forward passes. Where every
    instance is in the sketch, leaving one out is exact.

    Memory: the sketch's, and the activations of a micro-batch.
    """
    anchor = resident.parameters.get()
    trained = {example.id: tokens[example.id] for example in data.examples}
    progress(Progress(Stage.preparing, 0, 2))
    sketched = sketch(resident, trained, instance_weights(list(trained), record), record, anchor)
    progress(Progress(Stage.preparing, 1, 2))
    holdout = [tokens[example.id] for example in data.holdout]
    unseen = adapter_losses(resident, holdout)
    never_seen = NeverSeenLevel.fit(base_losses(resident, holdout), unseen) if holdout else None
    level = [trained[name] for name in sample_ids(list(trained), LEVEL_SAMPLE)]
    preparation = Preparation(
        sketch=sketched,
        training_level=float(adapter_losses(resident, level).mean()),
        never_seen_level=float(unseen.mean()) if holdout else None,
        never_seen=never_seen,
        calibration=calibrate(resident, anchor, trained, record, never_seen),
    )
    _save(preparation, artefacts)
    return preparation


def load_preparation(artefacts: Path, device: torch.device) -> Preparation:
    """Reads what `prepare` stored.

    Raises:
        EngineRefusal: `preparation` if a file or field is missing or malformed.
    """
    try:
        facts: dict[str, Any] = json.loads(_facts(artefacts).read_text())
        tensors = {name: tensor.to(device, copy=True) for name, tensor in load_file(_tensors(artefacts)).items()}
        rows = tensors["rows"]
        ones = torch.ones(len(rows), dtype=torch.float64, device=device)
        curvature = Curvature((rows,), ones, tensors["damping"], tensors["gram"])
        return Preparation(
            sketch=Sketch(curvature, tuple(facts["owners"]), int(facts["instances"]), float(facts["emphasis"])),
            calibration=Calibration(**facts["calibration"]),
            training_level=float(facts["training_level"]),
            never_seen_level=facts["never_seen_level"],
            never_seen=NeverSeenLevel(**facts["never_seen"]) if facts["never_seen"] else None,
        )
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise EngineRefusal("preparation", f"The preparation is unreadable: {type(error).__name__}.") from error


def _save(preparation: Preparation, artefacts: Path) -> None:
    artefacts.mkdir(parents=True, exist_ok=True)
    curvature = preparation.sketch.curvature
    tensors = {"rows": curvature.blocks[0], "gram": curvature.gram, "damping": curvature.damping}
    save_file({name: tensor.cpu().contiguous() for name, tensor in tensors.items()}, _tensors(artefacts))
    facts = {
        "owners": preparation.sketch.owners,
        "instances": preparation.sketch.instances,
        "emphasis": preparation.sketch.emphasis,
        "calibration": asdict(preparation.calibration),
        "training_level": preparation.training_level,
        "never_seen_level": preparation.never_seen_level,
        "never_seen": asdict(preparation.never_seen) if preparation.never_seen else None,
    }
    _facts(artefacts).write_text(json.dumps(facts, indent=1))


def _tensors(artefacts: Path) -> Path:
    return artefacts / "preparation.safetensors"


def _facts(artefacts: Path) -> Path:
    return artefacts / "preparation.json"
