"""Adapter archives as clients send them, right and wrong."""

import gzip
import io
import json
import tarfile
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors.numpy import save

Tensors = dict[str, npt.NDArray[Any]]
R, WIDTH = 4, 16


def tensors(r: int = R, modules: tuple[str, ...] = ("q_proj", "v_proj")) -> Tensors:
    shapes = {"A": (r, WIDTH), "B": (WIDTH, r)}
    return {
        f"base_model.model.model.layers.0.self_attn.{module}.lora_{side}.weight": np.ones(shapes[side], np.float32)
        for module in modules
        for side in "AB"
    }


def config(**changes: Any) -> bytes:
    members = {
        "peft_type": "LORA",
        "r": R,
        "lora_alpha": 8,
        "target_modules": ["q_proj", "v_proj"],
        "base_model_name_or_path": "/somewhere/else/base",
        **changes,
    }
    return json.dumps(members).encode()


def files(weights: Tensors | None = None, **changes: Any) -> dict[str, bytes]:
    return {
        "adapter_config.json": config(**changes),
        "adapter_model.safetensors": save(tensors() if weights is None else weights),
    }


def record() -> dict[str, bytes]:
    """A training record in shape only: what it says is the worker's to judge."""
    return {"record.json": b"{}", "record.safetensors": save({"second_moments": np.ones(4, np.float32)})}


def archive(content: Mapping[str, bytes], *, links: Mapping[str, str] | None = None) -> bytes:
    """A `.tar.gz` of these files and symbolic links, the same bytes every time."""
    buffer = io.BytesIO()
    with gzip.GzipFile(fileobj=buffer, mode="wb", mtime=0) as packed, tarfile.open(fileobj=packed, mode="w") as tar:
        for name, data in content.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
        for name, target in (links or {}).items():
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = tarfile.SYMTYPE, target
            tar.addfile(entry)
    return buffer.getvalue()
