"""The shapes of a base model's weights, from the headers of its safetensors files."""

import json
from collections.abc import Mapping
from pathlib import Path

_FLOATS = frozenset({"F64", "F32", "F16", "BF16"})


def float_shapes(directory: Path) -> Mapping[str, tuple[int, ...]]:
    """Shapes of the floating-point weights in a Hugging Face model directory, by checkpoint name.

    Empty if there are no safetensors files. Quantised weights are left out: their shapes are those of packed
    storage. The directory is the operator's own, so its headers are not checked.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    for path in sorted(directory.glob("*.safetensors")):
        with path.open("rb") as file:
            header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        shapes.update(
            (name, tuple(entry["shape"]))
            for name, entry in header.items()
            if name != "__metadata__" and entry["dtype"] in _FLOATS
        )
    return shapes
