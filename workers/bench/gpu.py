"""Time, memory and arithmetic of a large base: `python -m workers.bench.gpu [--device cpu] [--shape tiny]`.

Prepares an anchor on a random base and answers removals of several sizes. The adapter is fitted for a few
steps only and its training record is random: of all that is done, only how many forward passes the searches
for an amplitude take depends on values. Whether the calibration had anything to search for is in the result.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers.utils import logging

from service.domain.adapters import UPDATE_BUDGET, LoraSpec, Recipe
from service.domain.engine import Anchor, Progress, TrainingSet
from service.domain.ledger import Edit
from workers.bench.memory import random_record
from workers.bench.shapes import SHAPES, random_base, random_data
from workers.engine.evaluation import encode_data
from workers.engine.gradients import weighted_gradient
from workers.engine.memory import peak_bytes, reset_peak
from workers.engine.preparation import load_preparation, prepare
from workers.engine.record import TrainingRecord
from workers.engine.resident import Resident
from workers.engine.update import answer

# Dense bf16 peaks in TFLOP/s, from the makers' data sheets; the first name that occurs in the device's name counts.
PEAKS = (("H200", 989.0), ("H100 PCIe", 756.0), ("H100 NVL", 835.0), ("H100", 989.0), ("A100", 312.0))

FIT_STEPS, FIT_INSTANCES, FIT_LEARNING_RATE = 20, 32, 3e-3


@dataclass(frozen=True, slots=True)
class Setting:
    """What is measured, and on what. `peak_tflops` is None where no peak is known."""

    device: str
    shape: str
    rank: int
    instances: int
    holdout: int
    prompt: int
    completion: int
    removals: tuple[int, ...]
    micro_batch: int | None
    peak_tflops: float | None


@dataclass(frozen=True, slots=True)
class Measurement:
    """One piece of work. `flops` are the model's matrix products; `peak_share` their share of the device's peak."""

    work: str
    seconds: float
    peak_bytes: int
    flops: float
    peak_share: float | None


@dataclass(slots=True)
class Flops:
    """Matrix products of the model so far."""

    total: float = 0.0


def main(arguments: Sequence[str] | None = None) -> None:
    setting, out = _read(arguments)
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    report = measure(setting)
    print(as_table(report["measurements"]))
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(report, indent=1))
    print(f"written to {out}")


def measure(setting: Setting) -> dict[str, Any]:
    """The setting, the device, the sizes that follow, and a measurement each of preparing and of every removal."""
    device = torch.device(setting.device)
    base = random_base(SHAPES[setting.shape], setting.prompt + setting.completion, device)
    resident = Resident(base, LoraSpec(r=setting.rank, alpha=2 * setting.rank))
    if setting.micro_batch:
        resident.micro_batch.size = setting.micro_batch
    data = random_data(
        SHAPES[setting.shape].vocabulary, setting.instances, setting.holdout, setting.prompt, setting.completion
    )
    record = fitted_record(resident, data)
    with tempfile.TemporaryDirectory() as scratch:
        measurements, calibrated = _measure_all(resident, data, record, setting, Path(scratch))
    return {
        "setting": asdict(setting),
        "device_name": device_name(device),
        "torch": torch.__version__,
        "matrix_parameters": matrix_parameters(resident.model),
        "adapter_parameters": resident.parameters.size,
        "micro_batch": resident.micro_batch.size,
        "calibrated": calibrated,
        "measurements": [asdict(measurement) for measurement in measurements],
    }


def fitted_record(resident: Resident, data: TrainingSet) -> TrainingRecord:
    """A random record whose checkpoints all lie where a few steps of AdamW lead."""
    record, tokens = random_record(resident, data), encode_data(resident, data)
    resident.initialise(seed=0)
    weights = nn.Parameter(resident.parameters.get())
    optimizer = torch.optim.AdamW([weights], lr=FIT_LEARNING_RATE, weight_decay=0.0, foreach=False)
    examples = data.examples[:FIT_INSTANCES]
    for _ in range(FIT_STEPS):
        resident.parameters.set(weights.detach())
        shares = [1 / len(examples)] * len(examples)
        weights.grad = weighted_gradient(resident, [tokens[example.id] for example in examples], shares)
        optimizer.step()
    end = weights.detach().cpu()
    # A copy each: tensors that share memory cannot be stored side by side.
    return replace(record, checkpoints=tuple(replace(each, parameters=end.clone()) for each in record.checkpoints))


def _measure_all(
    resident: Resident, data: TrainingSet, record: TrainingRecord, setting: Setting, artefacts: Path
) -> tuple[list[Measurement], bool]:
    """All measurements, and whether the calibration had something to search for."""
    start = record.checkpoints[-1].parameters.to(resident.device)
    tokens = encode_data(resident, data)
    resident.parameters.set(start)
    found = [
        _measure(
            resident,
            "prepare",
            lambda: prepare(resident, data, tokens, record, artefacts, _ignore),
            setting.peak_tflops,
        )
    ]
    preparation = load_preparation(artefacts, resident.device)
    anchor = Anchor("", data, Recipe(epochs=3), Path(), artefacts)

    def remove(count: int) -> Callable[[], object]:
        edits = [Edit(example.id, None) for example in data.examples[:count]]
        return lambda: answer(resident, anchor, preparation, record, edits, _ignore, budget=UPDATE_BUDGET)

    for count in setting.removals:
        resident.parameters.set(start)
        found.append(_measure(resident, f"remove {count}", remove(count), setting.peak_tflops))
    return found, preparation.calibration.measured


def _measure(resident: Resident, name: str, work: Callable[[], object], peak_tflops: float | None) -> Measurement:
    reset_peak(resident.device)
    _wait(resident.device)
    started = time.perf_counter()
    with counted(resident.model) as flops:
        work()
    _wait(resident.device)
    seconds = time.perf_counter() - started
    share = None if peak_tflops is None else flops.total / seconds / (peak_tflops * 1e12)
    return Measurement(name, seconds, peak_bytes(resident.device), flops.total, share)


@contextmanager
def counted(model: nn.Module) -> Iterator[Flops]:
    """Counts the passes through a model, padding included: 2 · parameters · tokens forward, as much again backward.

    A frozen weight needs no gradient of its own, hence not the usual 4 backward (Kaplan et al. 2020,
    arXiv:2001.08361, section 2.1). Attention scores, the adapter's own gradients and the solves are left out, so
    that the share of the peak is a lower bound.
    """
    flops, parameters = Flops(), matrix_parameters(model)

    def count(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Tensor]) -> None:
        passes = 2 if torch.is_grad_enabled() else 1
        flops.total += passes * 2.0 * parameters * kwargs["input_ids"].numel()

    handle = model.register_forward_pre_hook(count, with_kwargs=True)
    try:
        yield flops
    finally:
        handle.remove()


def matrix_parameters(model: nn.Module) -> int:
    """Weights of all linear layers, the output layer and the adapter among them; looking an embedding up is free."""
    return sum(module.weight.numel() for module in model.modules() if isinstance(module, nn.Linear))


def known_peak(name: str) -> float | None:
    """The dense bf16 peak of a device in TFLOP/s by its name, if it is a known one."""
    return next((peak for part, peak in PEAKS if part in name), None)


def device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def as_table(measurements: Sequence[dict[str, Any]]) -> str:
    lines = [f"{'':<12} {'seconds':>10} {'peak GB':>10} {'PFLOP':>12} {'of peak':>8}"]
    for each in measurements:
        share = "–" if each["peak_share"] is None else f"{each['peak_share']:.1%}"
        numbers = f"{each['seconds']:10.2f} {each['peak_bytes'] / 1e9:10.2f} {each['flops'] / 1e15:12.6f} {share:>8}"
        lines.append(f"{each['work']:<12} {numbers}")
    return "\n".join(lines)


def _read(arguments: Sequence[str] | None) -> tuple[Setting, Path]:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"])
    parser.add_argument("--shape", default="llama-8b", choices=sorted(SHAPES))
    parser.add_argument("--rank", type=int, default=8)
    parser.add_argument("--instances", type=int, default=10_000)
    parser.add_argument("--holdout", type=int, default=256, help="never-seen instances")
    parser.add_argument("--prompt", type=int, default=128, help="tokens of every prompt")
    parser.add_argument("--completion", type=int, default=128, help="tokens of every completion")
    parser.add_argument("--removals", type=int, nargs="+", default=[1, 10, 100], help="instances in each request")
    parser.add_argument("--micro-batch", type=int, help="instances in one pass")
    parser.add_argument("--peak-tflops", type=float, help="the device's dense bf16 peak, where it is not known")
    parser.add_argument("--out", type=Path, default=Path(".lethe/bench/gpu.json"))
    options = parser.parse_args(arguments)
    if options.device == "cuda" and not torch.cuda.is_available():
        parser.error("there is no CUDA device here; --device cpu --shape tiny tries the measurement out")
    if max(options.removals) >= options.instances:
        parser.error("a request must leave some instances")
    fields = {name: value for name, value in vars(options).items() if name != "out"}
    fields["removals"] = tuple(options.removals)
    fields["peak_tflops"] = options.peak_tflops or known_peak(device_name(torch.device(options.device)))
    if options.device == "cuda" and fields["peak_tflops"] is None:
        parser.error("this device's peak is not known: give --peak-tflops")
    return Setting(**fields), options.out


def _wait(device: torch.device) -> None:
    """A GPU is still at work when its calls return."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _ignore(progress: Progress) -> None:
    """Nobody watches."""


if __name__ == "__main__":
    main()
