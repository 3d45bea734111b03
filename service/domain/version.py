"""The product's version, which certificates name as the engine that made an update."""

from collections.abc import Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version

ENGINE_VERSION = version("lethe")
LIBRARIES = ("torch", "transformers", "peft", "safetensors", "tokenizers")


@cache
def library_versions() -> Mapping[str, str]:
    """The versions of the libraries that an update depends on, of those that are installed; none is loaded."""
    return {name: found for name in LIBRARIES if (found := _installed(name)) is not None}


def _installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
