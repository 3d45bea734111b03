"""Another adapter beside the resident one: loaded by PEFT from its files, as a client loads it."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from workers.engine.errors import EngineRefusal
from workers.engine.failures import is_device_error, is_out_of_memory
from workers.engine.parameters import ADAPTER
from workers.engine.resident import Resident

BESIDE = "beside"


@contextmanager
def beside(resident: Resident, directory: Path) -> Iterator[None]:
    """Within the block the model answers with the adapter in `directory`; afterwards with its own again.

    The base is not loaded a second time. Memory: the other adapter, until the block ends.

    Raises:
        EngineRefusal: `publish-gate-load` if PEFT cannot load it, or loads only a part.
    """
    model = resident.model
    try:
        _load(resident, directory)
        model.set_adapter(BESIDE, inference_mode=True)
        yield
    finally:
        model.set_adapter(ADAPTER)
        if BESIDE in model.peft_config:
            model.delete_adapter(BESIDE)


def _load(resident: Resident, directory: Path) -> None:
    try:
        with warnings.catch_warnings():
            # Configurations that leave fan_in_fan_out to PEFT, as ours do, are put right with a warning.
            warnings.filterwarnings("ignore", message="fan_in_fan_out is set to", category=UserWarning)
            # Weights that are to be overwritten are not drawn first: the random state stays as it is.
            found = resident.model.load_adapter(
                directory, BESIDE, torch_device=str(resident.device), low_cpu_mem_usage=True
            )
    except (RuntimeError, ValueError, KeyError, TypeError) as error:
        if is_out_of_memory(error) or is_device_error(error):
            raise
        raise _refusal(type(error).__name__) from error
    if found.missing_keys or found.unexpected_keys:
        raise _refusal(f"{len(found.missing_keys)} tensors missing, {len(found.unexpected_keys)} unexpected")


def _refusal(why: str) -> EngineRefusal:
    return EngineRefusal("publish-gate-load", f"PEFT cannot load the adapter: {why}.")
