"""The publish gate: what was written must be what was measured, must load, and must do something.

Servers answer 200 to adapters with a part missing, with other shapes, or without any effect, and 500 to others. So
no version becomes visible whose files did not pass here.
"""

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from service.domain.probes import TOLERANCE, Probe, distances_from
from workers.engine.adapter_files import WEIGHTS
from workers.engine.beside import beside
from workers.engine.errors import EngineRefusal
from workers.engine.probing import measure
from workers.engine.resident import Resident

# Mean gap in nats that is rounding, by device: bases compute in fp32 on the one and in bf16 on the other. Tensors are
# compared bit for bit besides, so a wide one lets none that is damaged through.
SAME = {"cpu": 1e-4, "cuda": TOLERANCE["bfloat16"]}
# An adapter without effect adds exact zeros to the base.
DIFFERENT = 1e-5


def pass_gate(resident: Resident, directory: Path, probe: Probe) -> Mapping[str, float]:
    """Checks an export against the adapter in `resident`, and by its answers to the probe once PEFT has loaded it.

    Costs a forward pass of the probe. Returns the distances of the loaded adapter's answers from those of the version,
    the base and the previous version (nats).

    Raises:
        EngineRefusal: `publish-gate-` and `tensors` (unreadable, or not exactly the adapter's names, shapes and
            type), `not-finite`, `values` (others than in memory), `load` (PEFT cannot load them all), `answers`
            (others than those in memory gave), `no-effect` (those of the base).
    """
    _check_tensors(resident, directory)
    with beside(resident, directory):
        distances = distances_from(probe, measure(resident.model, probe))
    if not distances["version"] <= SAME[resident.device.type]:
        raise _refusal("answers", f"Loaded again, it answers {distances['version']:.2g} nats from what it did.")
    if not distances["base"] > DIFFERENT:
        raise _refusal("no-effect", "It answers as the bare base model does.")
    return distances


def _check_tensors(resident: Resident, directory: Path) -> None:
    try:
        written = load_file(directory / WEIGHTS)
    except SafetensorError as error:
        raise _refusal("tensors", f"{WEIGHTS} cannot be read: {type(error).__name__}.") from error
    measured = resident.parameters.named(resident.parameters.get().cpu())
    odd = sorted(written.keys() ^ measured.keys())
    if odd:
        raise _refusal("tensors", f"{len(odd)} tensors are missing or unexpected, first: {odd[0]}.")
    for name, tensor in written.items():
        _check_tensor(name, tensor, measured[name])


def _check_tensor(name: str, written: Tensor, measured: Tensor) -> None:
    if (written.shape, written.dtype) != (measured.shape, measured.dtype):
        shape, wanted = list(written.shape), list(measured.shape)
        raise _refusal("tensors", f"{name} is {written.dtype} {shape}, not {measured.dtype} {wanted}.")
    if not bool(written.isfinite().all()):
        raise _refusal("not-finite", f"{name} holds values that are not finite.")
    if not torch.equal(written, measured):
        raise _refusal("values", f"{name} is not what was measured.")


def _refusal(what: str, detail: str) -> EngineRefusal:
    return EngineRefusal(f"publish-gate-{what}", f"The exported version is not published. {detail}")
