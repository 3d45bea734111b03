"""A tiny setting for the benchmark's tests: twelve subjects of three random codes, on a random Llama."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers.utils import logging

from service.domain.adapters import LoraSpec, Recipe, TrainingFormat
from service.domain.engine import Base, TrainingSet
from service.domain.instances import Content
from tests.workers.engine.small_data import make_examples
from tests.workers.tiny_llama import save_tiny_llama
from workers.bench.cases import Line
from workers.bench.lines import trained_line
from workers.bench.settings import Setting, regimes

RECIPE = Recipe(
    epochs=2,
    batch_size=8,
    learning_rate=1e-2,
    seed=3,
    lora=LoraSpec(r=4, alpha=8, target_modules=("q_proj", "v_proj")),
)


@pytest.fixture(scope="session", autouse=True)
def _quiet_and_single_threaded() -> None:
    torch.set_num_threads(1)
    logging.disable_progress_bar()


@pytest.fixture(scope="session")
def setting(tmp_path_factory: pytest.TempPathFactory) -> Setting:
    examples = tuple(
        replace(example, subject=f"subject-{index // 3}") for index, example in enumerate(make_examples(36, seed=1))
    )
    names = [example.id for example in examples]
    return Setting(
        name="tiny",
        data=TrainingSet(
            base=Base(str(save_tiny_llama(tmp_path_factory.mktemp("llama"))), None, None),
            format=TrainingFormat(max_length=64),
            examples=examples,
            slots=tuple(range(36)),
            slot_count=36,
            holdout=make_examples(12, seed=2, prefix="new"),
        ),
        subjects={f"subject-{start}": tuple(names[start : start + 3]) for start in range(0, 36, 3)},
        kinds=dict.fromkeys(names, "code"),
        reworded={e.id: Content(prompt=f"code of {e.id}:", completion=e.content.completion) for e in examples},
        recipes=regimes(RECIPE),
    )


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def line(setting: Setting, cache: Path) -> Line:
    return trained_line(setting, "memorised", cache)
