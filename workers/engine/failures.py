"""Class the errors a job can end with. Their texts may quote data, so only type names leave the engine."""

import torch
from safetensors import SafetensorError

from service.domain.engine import EngineFailure, FailureClass
from workers.engine.errors import EngineRefusal


def classify(error: Exception) -> EngineFailure:
    """The failure to report for an error that escaped a job."""
    name = type(error).__name__
    if isinstance(error, EngineRefusal):
        return EngineFailure(FailureClass.permanent, error.code, error.detail)
    if is_out_of_memory(error):
        return EngineFailure(FailureClass.resource, "out-of-memory", "The device ran out of memory.")
    if is_device_error(error):
        return EngineFailure(FailureClass.fatal_device, "device-error", f"The device failed ({name}).")
    if isinstance(error, OSError) or _is_system_error(error):
        return EngineFailure(FailureClass.transient, "io-error", f"Reading or writing files failed ({name}).")
    return EngineFailure(FailureClass.permanent, "engine-error", f"The engine failed ({name}).")


def _is_system_error(error: Exception) -> bool:
    """Safetensors tells of a full disk by an error of its own, which quotes the system's; files that it cannot parse
    by the same type."""
    return isinstance(error, SafetensorError) and "os error" in str(error)


def is_out_of_memory(error: Exception) -> bool:
    """Memory ran out, on the device or here. PyTorch's allocator of main memory has no exception type of its own."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or "DefaultCPUAllocator" in str(error)


def is_device_error(error: Exception) -> bool:
    """A sticky CUDA error: the context is lost and only a new process helps."""
    return isinstance(error, torch.AcceleratorError) or "CUDA error" in str(error)
