"""Jobs for a whole engine, and what they leave."""

from pathlib import Path

from service.domain.adapters import Recipe
from service.domain.engine import (
    Anchor,
    AnchorResult,
    InfluenceJob,
    InfluenceResult,
    Job,
    TrainingSet,
)
from tests.workers.engine.small_data import ignore_progress, never
from workers.engine.engine import Engine


def run(engine: Engine, job: Job) -> AnchorResult:
    result = engine.run(job, progress=ignore_progress, should_yield=never)
    assert isinstance(result, AnchorResult)
    return result


def answer(engine: Engine, job: InfluenceJob) -> InfluenceResult:
    result = engine.run(job, progress=ignore_progress, should_yield=never)
    assert isinstance(result, InfluenceResult)
    return result


def weights(out: Path) -> bytes:
    return (out / "adapter" / "adapter_model.safetensors").read_bytes()


def anchor(data: TrainingSet, recipe: Recipe, out: Path, key: str = "ver_1") -> Anchor:
    return Anchor(key=key, data=data, recipe=recipe, adapter=out / "adapter", artefacts=out / "anchor")
