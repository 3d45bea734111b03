"""Peak memory of preparing an anchor and of answering: `python -m workers.bench.memory [--device cuda]`.

Three dataset sizes at one rank, three ranks at one size. Each measurement runs in a process of its own,
because a CPU process's peak cannot be reset. The base is a small
random Llama, the adapter and its training record are random too: memory depends on shapes alone.
"""

import argparse
import multiprocessing
import random
import string
import tempfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from transformers.utils import logging

from service.domain.adapters import UPDATE_BUDGET, LoraSpec, Recipe, TrainingFormat
from service.domain.engine import Anchor, Base, Example, Progress, TrainingSet
from service.domain.instances import Content
from service.domain.ledger import Edit
from workers.engine.evaluation import adapter_losses, encode_data
from workers.engine.loading import open_base
from workers.engine.memory import peak_bytes, reset_peak
from workers.engine.preparation import load_preparation, prepare
from workers.engine.record import Checkpoint, TrainingRecord
from workers.engine.resident import Resident
from workers.engine.update import answer

POINTS = ((100, 8), (200, 8), (400, 8), (200, 4), (200, 16))
REMOVED = 6
# Of four checkpoints the first is not used.
SEGMENTS = 3


@dataclass(frozen=True, slots=True)
class Setting:
    """What a measurement runs on. `artefacts` is where preparing leaves what answering loads."""

    base: Path
    artefacts: Path
    instances: int
    rank: int
    device: str


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    device = parser.parse_args().device
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    with tempfile.TemporaryDirectory() as scratch:
        base = random_base(Path(scratch) / "base")
        print(f"{'instances':>9} {'rank':>5} {'p':>9} {'rows':>9} {'preparing':>10} {'answering':>10}   (MB)")
        for instances, rank in POINTS:
            setting = Setting(base, Path(scratch) / f"{instances}-{rank}", instances, rank, device)
            size, preparing = in_fresh_process(measure_preparing, setting)
            _, answering = in_fresh_process(measure_answering, setting)
            rows = SEGMENTS * 4 * instances * size
            print(f"{instances:9} {rank:5} {size:9} {rows / 1e6:9.0f} {preparing / 1e6:10.0f} {answering / 1e6:10.0f}")


def in_fresh_process(measure: Callable[[Setting], tuple[int, int]], setting: Setting) -> tuple[int, int]:
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(max_workers=1, mp_context=context) as pool:
        return pool.submit(measure, setting).result()


def measure_preparing(setting: Setting) -> tuple[int, int]:
    """p, and how far preparing a random anchor lifts the peak above that of a forward pass, in bytes."""
    resident, data = _open(setting)
    record, before = random_record(resident, data), _peak(resident)
    prepare(resident, data, encode_data(resident, data), record, setting.artefacts, _ignore)
    return resident.parameters.size, _peak(resident) - before


def measure_answering(setting: Setting) -> tuple[int, int]:
    """p, and how far loading the preparation and removing six instances lift the peak, in bytes."""
    resident, data = _open(setting)
    record, before = random_record(resident, data), _peak(resident)
    preparation = load_preparation(setting.artefacts, resident.device)
    anchor = Anchor("", data, Recipe(epochs=3), setting.base, setting.artefacts)
    edits = [Edit(example.id, None) for example in data.examples[:REMOVED]]
    answer(resident, anchor, preparation, record, edits, _ignore, budget=UPDATE_BUDGET)
    return resident.parameters.size, _peak(resident) - before


def _open(setting: Setting) -> tuple[Resident, TrainingSet]:
    torch.set_num_threads(1)
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    base = open_base(Base(str(setting.base), None, None), torch.device(setting.device))
    resident = Resident(base, LoraSpec(r=setting.rank, alpha=2 * setting.rank))
    resident.micro_batch.size = 16
    resident.initialise(seed=0)
    data = random_data(setting.base, setting.instances)
    adapter_losses(resident, list(encode_data(resident, data).values()))
    return resident, data


def random_base(directory: Path) -> Path:
    """A random Llama of 0.6 million parameters with a tokenizer of one token a byte."""
    alphabet = ["<pad>", "</s>", *sorted(pre_tokenizers.ByteLevel.alphabet())]
    bytewise = Tokenizer(models.BPE(vocab={token: index for index, token in enumerate(alphabet)}, merges=[]))
    bytewise.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bytewise.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=bytewise, pad_token="<pad>", eos_token="</s>"
    )
    tokenizer.save_pretrained(directory)
    config = LlamaConfig(
        vocab_size=len(alphabet),
        hidden_size=128,
        intermediate_size=384,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=64,
    )
    torch.manual_seed(0)
    LlamaForCausalLM(config).save_pretrained(directory)
    return directory


def random_data(base: Path, instances: int) -> TrainingSet:
    rng = random.Random(0)

    def example(name: str) -> Example:
        answer_text = "".join(rng.choices(string.ascii_lowercase, k=12))
        return Example(name, Content(prompt=f"{name}: ", completion=answer_text))

    return TrainingSet(
        base=Base(str(base), None, None),
        format=TrainingFormat(max_length=64),
        examples=tuple(example(f"row{index}") for index in range(instances)),
        slots=tuple(range(instances)),
        slot_count=instances,
        holdout=tuple(example(f"new{index}") for index in range(32)),
    )


def random_record(resident: Resident, data: TrainingSet) -> TrainingRecord:
    size = resident.parameters.size
    generator = torch.Generator().manual_seed(0)

    def vector() -> torch.Tensor:
        return 1e-2 * torch.randn(size, generator=generator)

    checkpoints = tuple(Checkpoint(step, vector(), vector().square()) for step in (2, 5, 8, 11))
    weights = {example.id: 1 / len(data.examples) for example in data.examples}
    return TrainingRecord(weights, (1e-3,) * 12, vector().square(), 1e-8, 0.0, 12, checkpoints, "")


def _peak(resident: Resident) -> int:
    found = peak_bytes(resident.device)
    reset_peak(resident.device)
    return found


def _ignore(progress: Progress) -> None:
    """Nobody watches."""


if __name__ == "__main__":
    main()
