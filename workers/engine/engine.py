"""The engine: takes jobs one at a time and keeps on the device what the next one will need.

out/adapter/          the new version
out/anchor/record/    the training record, where there is one
out/anchor/…          what `preparation` stores
out/fold/             what a fold's adapter predicts
out/checkpoint/       a training run that yielded
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from transformers.utils import logging as transformers_logging

from service.domain.adapters import Strategy
from service.domain.engine import (
    Anchor,
    AnchorResult,
    Base,
    FoldResult,
    ImportJob,
    InfluenceJob,
    InfluenceResult,
    Job,
    OutOfFoldJob,
    Published,
    Stage,
    TrainJob,
    Yielded,
)
from service.domain.probes import Probe
from workers.engine.adapter_files import read_spec
from workers.engine.capabilities import capabilities
from workers.engine.errors import EngineRefusal
from workers.engine.evaluation import Comparison, compare_data, encode_data
from workers.engine.expectation import expected_fidelity
from workers.engine.export import export_adapter
from workers.engine.gate import pass_gate
from workers.engine.importing import check_losses, load_record
from workers.engine.memory import peak_bytes, reset_peak
from workers.engine.out_of_fold import OutOfFold, missing_folds, train_fold
from workers.engine.preparation import Preparation, load_preparation, prepare
from workers.engine.probing import make_probe
from workers.engine.record import TrainingRecord
from workers.engine.resident import Resident
from workers.engine.residents import Residents
from workers.engine.stages import ProgressCallback, Stages
from workers.engine.tokens import Tokens
from workers.engine.training import fingerprint, train
from workers.engine.update import answer

ADAPTER = "adapter"
ANCHOR = "anchor"
CHECKPOINT = "checkpoint"
FOLD = "fold"
RECORD = "record"


# Prepared anchors kept on the device; with many lines on one worker the one not used for longest goes.
KEPT_ANCHORS = 4


@dataclass(frozen=True, slots=True)
class Prepared:
    """An anchor's curvature and training record, on the device."""

    preparation: Preparation
    record: TrainingRecord | None


@dataclass(frozen=True, slots=True)
class Candidate:
    """An adapter that was trained or taken over and is to become an anchor; its weights are in `resident`."""

    resident: Resident
    tokens: Mapping[str, Tokens]
    record: TrainingRecord | None
    comparison: Comparison


class Engine:
    """One device, its resident models, and the anchors prepared on them.

    Args:
        device: `auto` (CUDA if there is any), `cpu`, `cuda` or `cuda:N`.
        memory_fraction: share of the GPU's memory that may be allocated.
        allow_hub: whether a base named by Hub id may be downloaded.
    """

    def __init__(self, *, device: str = "auto", memory_fraction: float = 1.0, allow_hub: bool = False) -> None:
        transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
        name = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
        self.device = torch.device(name)
        if self.device.type == "cuda":
            torch.cuda.set_per_process_memory_fraction(memory_fraction, self.device)
        self._residents = Residents(self.device, allow_hub=allow_hub)
        self._anchors: OrderedDict[str, Prepared] = OrderedDict()
        self._lock = threading.Lock()

    def run(
        self, job: Job, *, progress: ProgressCallback, should_yield: Callable[[], bool]
    ) -> AnchorResult | InfluenceResult | FoldResult | Yielded:
        """Does a job and writes its files below `job.out`.

        Only training yields, and only between epochs.

        Raises:
            EngineRefusal: the same job would fail again.
            torch.OutOfMemoryError: one micro-batch does not fit after three halvings.
        """
        reset_peak(self.device)
        try:
            return self._carry_out(job, Stages(progress), should_yield)
        finally:
            # Weights are derived data, and the next job brings its own.
            self._residents.wipe()

    def keep(self, keys: Collection[str]) -> None:
        """Forgets every anchor but these: its curvature and record leave memory.

        May be called from another thread in mid-job; a job that is at work on another anchor has it until it ends.
        """
        with self._lock:
            gone = [key for key in self._anchors if key not in keys]
            for key in gone:
                del self._anchors[key]
        if gone and self.device.type == "cuda":
            torch.cuda.empty_cache()

    def _carry_out(
        self, job: Job, stages: Stages, should_yield: Callable[[], bool]
    ) -> AnchorResult | InfluenceResult | FoldResult | Yielded:
        if isinstance(job, InfluenceJob):
            return self._answer(job, stages)
        if isinstance(job, OutOfFoldJob):
            return self._leave_out(job, stages, should_yield)
        candidate = (
            self._train(job, stages, should_yield) if isinstance(job, TrainJob) else self._take_over(job, stages)
        )
        return candidate if isinstance(candidate, Yielded) else self._establish(job, candidate, stages)

    def _train(self, job: TrainJob, stages: Stages, should_yield: Callable[[], bool]) -> Candidate | Yielded:
        with stages(Stage.loading):
            resident = self._residents.adapter(self._residents.base(job.data.base), job.recipe.lora)
            tokens = encode_data(resident, job.data)
        with stages(Stage.training):
            record = train(
                resident,
                job.data,
                job.recipe,
                tokens,
                checkpoint=job.out / CHECKPOINT,
                resume=job.resume,
                progress=stages.progress,
                should_yield=should_yield,
            )
        if isinstance(record, Yielded):
            return record
        with stages(Stage.checking):
            return Candidate(resident, tokens, record, compare_data(resident, job.data, tokens))

    def _take_over(self, job: ImportJob, stages: Stages) -> Candidate:
        with stages(Stage.loading):
            resident = self._load(job.data.base, job.adapter)
            tokens = encode_data(resident, job.data)
        with stages(Stage.checking):
            record = load_record(resident, job.data, job.record) if job.record else None
            comparison = compare_data(resident, job.data, tokens)
            if not job.trusted:
                check_losses(resident, job.data, tokens, comparison, job.expected_losses)
        return Candidate(resident, tokens, record, comparison)

    def _establish(self, job: TrainJob | ImportJob, candidate: Candidate, stages: Stages) -> AnchorResult:
        """Exports an anchor, and prepares what its updates will need."""
        resident, record, anchor = candidate.resident, candidate.record, job.out / ANCHOR
        with stages(Stage.exporting):
            export_adapter(resident, job.data.base.path, job.out / ADAPTER)
            anchor.mkdir(parents=True, exist_ok=True)
            if record is not None:
                record.save(anchor / RECORD)
        probe, distances = _probe(resident, job.out / ADAPTER, job.replaces, stages)
        supported = capabilities(job)
        if any(capability.name == Strategy.influence and capability.supported for capability in supported):
            with stages(Stage.preparing):
                prepare(resident, job.data, candidate.tokens, record, anchor, stages.progress)
        return AnchorResult(
            base_digest=resident.base.digest,
            before=candidate.comparison.before,
            after=candidate.comparison.after,
            capabilities=supported,
            seconds=stages.seconds,
            peak_bytes=peak_bytes(self.device),
            details={
                "instances": len(job.data.examples),
                "parameters": resident.parameters.size,
                "probe_distances": distances,
            },
            probe=probe,
        )

    def _answer(self, job: InfluenceJob, stages: Stages) -> InfluenceResult:
        with stages(Stage.loading):
            resident = self._load(job.anchor.data.base, job.anchor.adapter)
            prepared = self._prepared(job.anchor)
        parameters, result = answer(
            resident,
            job.anchor,
            prepared.preparation,
            prepared.record,
            job.edits,
            stages.progress,
            budget=job.budget,
        )
        with stages(Stage.exporting):
            resident.parameters.set(parameters)
            export_adapter(resident, job.anchor.data.base.path, job.out / ADAPTER)
        probe, distances = _probe(resident, job.out / ADAPTER, job.replaces, stages)
        return replace(
            result,
            seconds={**result.seconds, **stages.seconds},
            peak_bytes=peak_bytes(self.device),
            details={**result.details, "probe_distances": distances},
            probe=probe,
        )

    def _leave_out(self, job: OutOfFoldJob, stages: Stages, should_yield: Callable[[], bool]) -> FoldResult | Yielded:
        data, recipe = job.data, job.recipe
        with stages(Stage.loading):
            resident = self._residents.adapter(self._residents.base(data.base), recipe.lora)
            tokens = encode_data(resident, data)
            missing = missing_folds(data, job.done, fingerprint(resident, data, recipe, tokens))
        if not missing:
            raise EngineRefusal("no-fold", "Every fold is done.")
        with stages(Stage.training):
            yielded = train_fold(
                resident,
                data,
                recipe,
                tokens,
                missing[0],
                job.out / FOLD,
                checkpoint=job.out / CHECKPOINT,
                resume=job.resume,
                progress=stages.progress,
                should_yield=should_yield,
            )
        if yielded is not None:
            return yielded
        predicted = self._expect(job, stages) if len(missing) == 1 else {}
        return FoldResult(
            missing[0].name, len(missing) - 1, stages.seconds, peak_bytes(self.device), predicted_fidelity=predicted
        )

    def _expect(self, job: OutOfFoldJob, stages: Stages) -> Mapping[str, float]:
        """What updates of the anchor are to be expected to be like, now that all its folds are there."""
        if job.anchor is None:
            return {}
        with stages(Stage.verifying):
            resident = self._load(job.data.base, job.anchor.adapter)
            prepared = self._prepared(job.anchor)
            vocabulary = resident.base.model.config.get_text_config().vocab_size
            folds = OutOfFold.load((*job.done, job.out / FOLD), None, vocabulary)
            return expected_fidelity(
                resident, job.anchor, prepared.preparation, prepared.record, folds, budget=job.budget
            )

    def _load(self, base: Base, adapter: Path) -> Resident:
        model = self._residents.base(base)
        resident = self._residents.adapter(model, read_spec(adapter, model.linear_modules))
        resident.load_adapter(adapter)
        return resident

    def _prepared(self, anchor: Anchor) -> Prepared:
        with self._lock:
            prepared = self._anchors.pop(anchor.key, None)
        if prepared is None:
            record = anchor.artefacts / RECORD
            prepared = Prepared(
                load_preparation(anchor.artefacts, self.device),
                TrainingRecord.load(record) if record.is_dir() else None,
            )
        with self._lock:
            self._anchors[anchor.key] = prepared
            while len(self._anchors) > KEPT_ANCHORS:
                self._anchors.popitem(last=False)
        return prepared


def _probe(
    resident: Resident, exported: Path, replaces: Sequence[Published], stages: Stages
) -> tuple[Probe, Mapping[str, float]]:
    """An export's probe, and the distances of its answers (nats) once it has passed the gate."""
    with stages(Stage.probing):
        probe = make_probe(resident, exported, replaces)
        return probe, pass_gate(resident, exported, probe)
