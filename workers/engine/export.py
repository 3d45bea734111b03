"""Writing a version: PEFT layout with a minimal configuration, byte for byte reproducible.

Eight configuration keys are enough for PEFT, vLLM and SGLang, old PEFT releases refuse keys that they
do not know, and PEFT's own file lists target modules in an order that changes between processes.
"""

import json
from pathlib import Path

import torch
from safetensors.torch import save_file

from service.domain.adapters import LoraSpec
from workers.engine.adapter_files import CONFIG, WEIGHTS
from workers.engine.errors import EngineRefusal
from workers.engine.resident import Resident


def export_adapter(resident: Resident, base_name: str, directory: Path) -> None:
    """Writes the resident's adapter into a directory, fp32.

    Args:
        base_name: the base model's path or Hub id as the client knows it.

    Raises:
        EngineRefusal: `not-finite` if a weight is NaN or infinite; nothing is written then.
    """
    weights = resident.parameters.named(resident.parameters.get().cpu())
    for name, tensor in weights.items():
        if not torch.isfinite(tensor).all():
            raise EngineRefusal("not-finite", f"{name} holds values that are not finite.")
    directory.mkdir(parents=True, exist_ok=True)
    # Each tensor a copy of its own: views of one vector would all be written with the whole of it.
    save_file({name: tensor.clone() for name, tensor in weights.items()}, directory / WEIGHTS, {"format": "pt"})
    (directory / CONFIG).write_text(canonical_config(resident.lora, base_name))


def canonical_config(lora: LoraSpec, base_name: str) -> str:
    """The text of `adapter_config.json`: sorted keys, sorted modules, nothing that PEFT can default."""
    config = {
        "base_model_name_or_path": base_name,
        "bias": "none",
        "inference_mode": True,
        "lora_alpha": int(lora.alpha) if float(lora.alpha).is_integer() else lora.alpha,
        "peft_type": "LORA",
        "r": lora.r,
        "target_modules": sorted(lora.target_modules),
        "task_type": "CAUSAL_LM",
    }
    return json.dumps(config, indent=2, sort_keys=True) + "\n"
