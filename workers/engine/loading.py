"""Opening a base model: any Hugging Face causal language model directory, safetensors only.

The base stays in memory between jobs; its digest pins every version that is computed on it.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.pytorch_utils import Conv1D

from service.domain.engine import Base
from workers.engine.errors import EngineRefusal

# Everything that decides the function a base computes; READMEs and other formats' weights do not.
PINNED = (
    "*.safetensors",
    "*.safetensors.index.json",
    "config.json",
    "tokenizer*",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.*",
    "merges.txt",
    "*.model",
    "chat_template*",
)

_file_digests: dict[tuple[str, int, int], str] = {}


@dataclass(frozen=True, slots=True)
class BaseModel:
    """Frozen weights and their tokenizer on a device.

    `pad_id` fills batches and is always masked. `linear_modules` are the modules that LoRA can adapt.
    """

    path: Path
    digest: str
    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    device: torch.device
    pad_id: int
    linear_modules: frozenset[str]


def locate(base: Base, *, allow_hub: bool = False) -> Path:
    """The base's directory on this machine; a Hub id is fetched only if the deployment allows it.

    Raises:
        EngineRefusal: `base-model` if there is no such directory or it holds no safetensors weights.
    """
    path = Path(base.path)
    if not path.is_dir() and allow_hub:
        from huggingface_hub import snapshot_download

        path = Path(snapshot_download(base.path, revision=base.revision, allow_patterns=list(PINNED)))
    if not (path / "config.json").is_file():
        raise EngineRefusal("base-model", "The base model's directory is not on this worker or has no config.json.")
    if not any(path.glob("*.safetensors")):
        raise EngineRefusal("base-model", "The base model has no safetensors weights; other formats are not read.")
    return path


def base_digest(path: Path) -> str:
    """SHA-256, hex, over the sorted (name, SHA-256) pairs of weights, configuration and tokenizer files.

    A file is read once: its digest is remembered under (path, size, modification time).
    """
    files = sorted({file for pattern in PINNED for file in path.glob(pattern) if file.is_file()})
    sha = hashlib.sha256()
    for file in files:
        sha.update(f"{file.name}\0{_file_digest(file)}\n".encode())
    return sha.hexdigest()


def open_base(base: Base, device: torch.device, *, allow_hub: bool = False) -> BaseModel:
    """Loads a base model: fp32 on a CPU, bf16 on a GPU. No code from the directory is run.

    Raises:
        EngineRefusal: `base-model` if it cannot be loaded, `base-digest` if it is not the pinned one.
    """
    path = locate(base, allow_hub=allow_hub)
    digest = base_digest(path)
    if base.digest is not None and base.digest != digest:
        raise EngineRefusal("base-digest", f"The base model changed: it is {digest[:12]}, not {base.digest[:12]}.")
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    try:
        tokenizer = AutoTokenizer.from_pretrained(path, local_files_only=True, trust_remote_code=False)
        config = AutoConfig.from_pretrained(path, local_files_only=True, trust_remote_code=False)
        model = AutoModelForCausalLM.from_pretrained(
            path,
            config=_without_dropout(config),
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            dtype=dtype,
        )
    except (OSError, ValueError, KeyError) as error:
        raise EngineRefusal("base-model", f"The base model cannot be loaded: {type(error).__name__}.") from error
    torch.nn.Module.to(model.requires_grad_(False), device)
    pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
    linear = frozenset(name for name, module in model.named_modules() if isinstance(module, torch.nn.Linear | Conv1D))
    return BaseModel(path, digest, model, tokenizer, device, 0 if pad is None else int(pad), linear)


def _without_dropout(config: PretrainedConfig) -> PretrainedConfig:
    """A frozen base is one fixed function: only the adapter's own dropout is ever active."""
    for name, value in config.to_dict().items():
        if isinstance(value, float) and ("drop" in name):
            setattr(config, name, 0.0)
    return config


def _file_digest(file: Path) -> str:
    stat = file.stat()
    key = (str(file), stat.st_size, stat.st_mtime_ns)
    if key not in _file_digests:
        with file.open("rb") as stream:
            _file_digests[key] = hashlib.file_digest(stream, "sha256").hexdigest()
    return _file_digests[key]
