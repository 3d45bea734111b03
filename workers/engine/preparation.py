"""What the engine prepares once for every anchor, so that a request costs only the ledger.

preparation.safetensors     per segment: rows [S, p], Gram matrix [S, S], damping [p], parameters [p]
preparation.json            sketched instance ids, calibration, loss levels
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from service.domain.engine import Progress, Stage, TrainingSet
from workers.engine.calibration import Calibration, calibrate, calibrate_vectors
from workers.engine.curvature import Curvature
from workers.engine.damping import mean_eigenvalue_damping
from workers.engine.errors import EngineRefusal
from workers.engine.evaluation import adapter_losses, base_losses
from workers.engine.fisher import fisher_rows
from workers.engine.never_seen import NeverSeenLevel
from workers.engine.record import TrainingRecord
from workers.engine.resident import Resident
from workers.engine.right_hand_side import instance_weights
from workers.engine.stages import ProgressCallback
from workers.engine.tokens import Tokens
from workers.engine.trajectory import Point, Segment, Trajectory, points

# Sketched instances at most, and the bytes that all segments' rows may take.
SKETCH_ROWS = 512
SKETCH_BYTES = 4 << 30
# Instances whose loss under the anchor gives the training level.
LEVEL_SAMPLE = 256


@dataclass(frozen=True, slots=True)
class Preparation:
    """Curvature along the trajectory, calibration, and the loss levels that an update aims at.

    `training_level` is the anchor's mean loss on what it was trained on, `never_seen_level` on its holdout;
    that and `never_seen` are None without one.

    Memory: (rows + 8) p bytes and 8S² a segment, rows = 2S (bf16) or 4S (fp32).
    """

    trajectory: Trajectory
    calibration: Calibration
    training_level: float
    never_seen_level: float | None
    never_seen: NeverSeenLevel | None


def prepare(
    resident: Resident,
    data: TrainingSet,
    tokens: Mapping[str, Tokens],
    record: TrainingRecord | None,
    artefacts: Path,
    progress: ProgressCallback,
) -> Preparation:
    """Sketches the curvature of the resident's adapter, calibrates, and stores the result below `artefacts`.

    Costs, in instance gradients: S a segment (at most 512 each), and the calibration's few hundred forward
    passes. With n ≤ S every instance is in the sketch, and leaving one out is exact.

    Memory: one segment's rows and Gram matrix (2Sp or 4Sp, and 16S² bytes) beside those that are finished,
    4 · 16 · p bytes of fresh rows, the activations of a micro-batch.
    """
    anchor = resident.parameters.get()
    trained = {example.id: tokens[example.id] for example in data.examples}
    weights = instance_weights(list(trained), record)
    linearised = points(record, anchor)
    sketched = sketch_ids(list(trained), row_limit(resident.parameters.size, len(linearised)))
    segments = []
    for index, point in enumerate(linearised):
        progress(Progress(Stage.preparing, index, len(linearised) + 1))
        scale = len(trained) / len(sketched)
        chosen = [trained[name] for name in sketched]
        segments.append(_segment(resident, point, chosen, [scale * weights[name] for name in sketched], index))
    progress(Progress(Stage.preparing, len(linearised), len(linearised) + 1))
    resident.parameters.set(anchor)
    trajectory = Trajectory(tuple(segments), tuple(sketched), len(trained))
    holdout = [tokens[example.id] for example in data.holdout]
    unseen = adapter_losses(resident, holdout)
    never_seen = NeverSeenLevel.fit(base_losses(resident, holdout), unseen) if holdout else None
    never_seen_level = float(unseen.mean()) if holdout else None
    level = float(adapter_losses(resident, [trained[name] for name in sketched[:LEVEL_SAMPLE]]).mean())
    calibration = calibrate(resident, trajectory, anchor, trained, weights, never_seen)
    if record is not None and record.vectors is not None:
        amplitude = calibrate_vectors(resident, record.vectors, anchor, trained, never_seen)
        calibration = replace(calibration, vectors_amplitude=amplitude)
    preparation = Preparation(trajectory, calibration, level, never_seen_level, never_seen)
    _save(preparation, artefacts)
    return preparation


def load_preparation(artefacts: Path, device: torch.device) -> Preparation:
    """Reads what `prepare` stored.

    Raises:
        EngineRefusal: `preparation` if a file or field is missing or malformed.
    """
    try:
        facts: dict[str, Any] = json.loads(_facts(artefacts).read_text())
        tensors = {name: tensor.to(device) for name, tensor in load_file(_tensors(artefacts)).items()}
        segments = tuple(_read_segment(tensors, index, float(r)) for index, r in enumerate(facts["retentions"]))
        return Preparation(
            trajectory=Trajectory(segments, tuple(facts["sketched"]), int(facts["instances"])),
            calibration=Calibration(**facts["calibration"]),
            training_level=float(facts["training_level"]),
            never_seen_level=facts["never_seen_level"],
            never_seen=NeverSeenLevel(**facts["never_seen"]) if facts["never_seen"] else None,
        )
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise EngineRefusal("preparation", f"The preparation is unreadable: {type(error).__name__}.") from error


def row_limit(size: int, segments: int) -> int:
    """How many instances are sketched at most, so that all segments' rows fit the budget in half precision."""
    return max(1, min(SKETCH_ROWS, SKETCH_BYTES // (2 * size * segments)))


def sketch_ids(ids: Sequence[str], limit: int) -> list[str]:
    """A systematic random sample in the order of the data: every stretch of it is represented in proportion."""
    if len(ids) <= limit:
        return list(ids)
    offset = float(torch.rand((), generator=torch.Generator().manual_seed(0), dtype=torch.float64))
    return [ids[int((index + offset) * len(ids) / limit)] for index in range(limit)]


def _segment(
    resident: Resident, point: Point, tokens: Sequence[Tokens], weights: Sequence[float], index: int
) -> Segment:
    resident.parameters.set(point.parameters)
    # Half precision only where fp32 would not fit: rounding is far below the sampling noise of the rows.
    full = 4 * resident.parameters.size * len(tokens) <= SKETCH_BYTES // 4
    dtype = torch.float32 if full else torch.bfloat16
    rows = torch.empty(len(tokens), resident.parameters.size, dtype=dtype, device=resident.device)
    start = 0
    for block in fisher_rows(resident, tokens, weights, torch.Generator().manual_seed(index)):
        rows[start : start + len(block)] = block
        start += len(block)
    damping = point.damping
    if damping is None:
        trace = sum(float(row.float().square().sum()) for row in rows)
        damping = mean_eigenvalue_damping(trace, resident.parameters.size, resident.device)
    return Segment(point.parameters, Curvature.of(rows, damping), point.retention)


def _save(preparation: Preparation, artefacts: Path) -> None:
    artefacts.mkdir(parents=True, exist_ok=True)
    tensors: dict[str, Tensor] = {}
    for index, segment in enumerate(preparation.trajectory.segments):
        tensors[f"{index}.parameters"] = segment.parameters
        tensors[f"{index}.damping"] = segment.curvature.damping
        tensors[f"{index}.rows"] = segment.curvature.blocks[0]
        tensors[f"{index}.gram"] = segment.curvature.gram
    save_file({name: tensor.cpu().contiguous() for name, tensor in tensors.items()}, _tensors(artefacts))
    facts = {
        "sketched": preparation.trajectory.sketched,
        "instances": preparation.trajectory.instances,
        "retentions": [segment.retention for segment in preparation.trajectory.segments],
        "calibration": asdict(preparation.calibration),
        "training_level": preparation.training_level,
        "never_seen_level": preparation.never_seen_level,
        "never_seen": asdict(preparation.never_seen) if preparation.never_seen else None,
    }
    _facts(artefacts).write_text(json.dumps(facts, indent=1))


def _read_segment(tensors: Mapping[str, Tensor], index: int, retention: float) -> Segment:
    rows, damping = tensors[f"{index}.rows"], tensors[f"{index}.damping"]
    ones = torch.ones(len(rows), dtype=torch.float64, device=rows.device)
    curvature = Curvature((rows,), ones, damping, tensors[f"{index}.gram"])
    return Segment(tensors[f"{index}.parameters"], curvature, retention)


def _tensors(artefacts: Path) -> Path:
    return artefacts / "preparation.safetensors"


def _facts(artefacts: Path) -> Path:
    return artefacts / "preparation.json"
