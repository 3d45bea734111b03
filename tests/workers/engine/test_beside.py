"""A second adapter answers for a while, and leaves no trace."""

from pathlib import Path

import pytest
import torch

from service.domain.adapters import LoraSpec
from service.domain.engine import Base
from tests.workers.engine.small_data import CPU
from workers.engine.beside import beside
from workers.engine.errors import EngineRefusal
from workers.engine.export import export_adapter
from workers.engine.gradients import weighted_gradient
from workers.engine.loading import open_base
from workers.engine.probing import next_logprobs, random_prompts
from workers.engine.resident import Resident
from workers.engine.tokens import Tokens

BATCH = [Tokens((5, 9, 40, 77), (-100, -100, 40, 77))]


def randomise(resident: Resident, seed: int) -> Resident:
    generator = torch.Generator().manual_seed(seed)
    resident.parameters.set(torch.randn(resident.parameters.size, generator=generator) * 0.1)
    return resident


@pytest.fixture
def other(llama_path: Path, tmp_path: Path) -> tuple[Path, Resident]:
    """An adapter of another rank on other modules: its directory, and a base of its own that carries it."""
    spec = LoraSpec(r=3, alpha=5, target_modules=("o_proj", "q_proj"))
    resident = randomise(Resident(open_base(Base(str(llama_path), None, None), CPU), spec), 1)
    export_adapter(resident, "base", tmp_path / "other")
    return tmp_path / "other", resident


def test_within_the_block_the_model_is_the_other_one(resident: Resident, other: tuple[Path, Resident]) -> None:
    directory, apart = other
    prompts = random_prompts(resident, 0)
    with beside(randomise(resident, 0), directory):
        answers = next_logprobs(resident.model, prompts)
    torch.testing.assert_close(answers, next_logprobs(apart.model, prompts))


def test_afterwards_everything_is_as_before(resident: Resident, other: tuple[Path, Resident]) -> None:
    randomise(resident, 0)
    prompts = random_prompts(resident, 0)

    def state() -> list[torch.Tensor]:
        gradient = weighted_gradient(resident, BATCH, [1.0])
        return [resident.parameters.get(), next_logprobs(resident.model, prompts), gradient, torch.get_rng_state()]

    before = state()
    with beside(resident, other[0]):
        pass
    assert all(torch.equal(now, then) for now, then in zip(state(), before, strict=True))
    assert list(resident.model.peft_config) == ["default"]
    assert not resident.model.training


def test_one_that_peft_cannot_load_leaves_no_trace_either(resident: Resident, other: tuple[Path, Resident]) -> None:
    directory, _ = other
    config = directory / "adapter_config.json"
    config.write_text(config.read_text().replace('"r": 3', '"r": 2'))
    before = next_logprobs(randomise(resident, 0).model, random_prompts(resident, 0))
    with pytest.raises(EngineRefusal, match="publish-gate-load"), beside(resident, directory):
        pass
    assert torch.equal(next_logprobs(resident.model, random_prompts(resident, 0)), before)
    assert list(resident.model.peft_config) == ["default"]
