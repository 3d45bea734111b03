"""What vLLM would accept and serve wrongly: an adapter is looked at before vLLM sees it.

vLLM fills a matrix that is too narrow with zeros, takes the scale from a rank that the matrices need not have, and
loads NaN, each with success. Shapes are compared with the base model's where its weights lie in a local directory.
"""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
FILES = (CONFIG, WEIGHTS)
_KEY = re.compile(r"base_model\.model\.(?P<module>\w+(?:\.\w+)*)\.lora_(?P<side>[AB])\.weight", re.ASCII)
# Item size, the integers that hold its bits, and the bits that are all set in NaN and infinities.
_FLOATS: Mapping[str, tuple[int, str, int]] = {
    "F64": (8, "<u8", 0x7FF0_0000_0000_0000),
    "F32": (4, "<u4", 0x7F80_0000),
    "F16": (2, "<u2", 0x7C00),
    "BF16": (2, "<u2", 0x7F80),
}
_CHUNK_ITEMS = 1 << 20

Shapes = Mapping[str, tuple[int, ...]]


class Unfit(Exception):
    """The adapter would not be served as it is meant."""


def check_adapter(directory: Path, base: Path) -> None:
    """Look at configuration, shapes and values.

    Args:
        base: the base model's directory; if it is none, shapes are only compared with each other.

    Raises:
        Unfit: see there.
    """
    rank = _rank(directory / CONFIG)
    shapes = _checked_tensors(directory / WEIGHTS)
    pairs: dict[str, dict[str, tuple[int, ...]]] = {}
    for name, shape in shapes.items():
        key = _KEY.fullmatch(name)
        if key is None or len(shape) != 2:
            raise Unfit("a tensor is no LoRA matrix")
        pairs.setdefault(key["module"], {})[key["side"]] = shape
    if not pairs:
        raise Unfit("there are no tensors")
    base_shapes = _base_shapes(base)
    for module, pair in pairs.items():
        if pair.keys() != {"A", "B"} or pair["A"][0] != rank or pair["B"][1] != rank:
            raise Unfit("a LoRA matrix lacks its other half or the configured rank")
        needed = (pair["B"][0], pair["A"][1])
        present = base_shapes.get(f"{module}.weight", needed)
        # GPT-2 stores its linear weights transposed.
        if present not in (needed, needed[::-1]):
            raise Unfit("a LoRA matrix does not fit the base model")


def _rank(config: Path) -> int:
    try:
        members = json.loads(config.read_bytes())
    except (ValueError, RecursionError) as error:
        raise Unfit("the configuration is no JSON") from error
    match members:
        case {"peft_type": "LORA", "r": int(rank), "lora_alpha": int() | float()} if rank > 0:
            return rank
    raise Unfit("the configuration is not that of a LoRA adapter")


def _checked_tensors(file: Path) -> Shapes:
    """Shapes by name, of tensors whose values are all finite."""
    try:
        with safe_open(file, framework="numpy") as header:
            # In the order of their bytes; the format allows no holes.
            tensors = [(name, header.get_slice(name)) for name in header.offset_keys()]
            described = [(name, part.get_dtype(), tuple(part.get_shape())) for name, part in tensors]
    except (SafetensorError, OSError) as error:
        raise Unfit("the weights are no safetensors file") from error
    with file.open("rb") as content:
        content.seek(8 + int.from_bytes(content.read(8), "little"))
        for _, dtype, shape in described:
            if not _finite(content, dtype, shape):
                raise Unfit("a tensor holds values that are no finite numbers")
    return {name: shape for name, _, shape in described}


def _finite(content: Any, dtype: str, shape: tuple[int, ...]) -> bool:
    if dtype not in _FLOATS:
        raise Unfit("a tensor is not in floating point")
    size, kind, mask = _FLOATS[dtype]
    left = int(np.prod(shape, dtype=np.int64))
    while left:
        items = min(left, _CHUNK_ITEMS)
        bits = np.frombuffer(content.read(items * size), kind)
        if bool(((bits & mask) == mask).any()):
            return False
        left -= items
    return True


def _base_shapes(base: Path) -> Shapes:
    """Shapes of the base model's floating-point weights; quantised ones are stored in other shapes."""
    return dict(_shapes_in(base)) if base.is_dir() else {}


def _shapes_in(base: Path) -> Iterator[tuple[str, tuple[int, ...]]]:
    for file in sorted(base.glob("*.safetensors")):
        with file.open("rb") as content:
            header = json.loads(content.read(int.from_bytes(content.read(8), "little")))
        for name, entry in header.items():
            if name != "__metadata__" and entry["dtype"] in _FLOATS:
                yield name, tuple(entry["shape"])
