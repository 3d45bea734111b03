"""The product's version, which certificates name as the engine that made an update."""

from importlib.metadata import version

ENGINE_VERSION = version("lethe")
