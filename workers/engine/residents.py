"""What stays in memory between jobs: the base models used last, each with one adapter on it."""

from collections import OrderedDict

import torch

from service.domain.adapters import LoraSpec
from service.domain.engine import Base
from workers.engine.failures import is_out_of_memory
from workers.engine.loading import BaseModel, base_digest, locate, open_base
from workers.engine.resident import Resident, canonical_spec


class Residents:
    """At most `capacity` base models on one device; the one not used for longest goes first.

    Loading dominates a short job: 16 GB of weights take minutes, an adapter on them milliseconds.
    """

    def __init__(self, device: torch.device, *, allow_hub: bool, capacity: int = 2) -> None:
        self._device = device
        self._allow_hub = allow_hub
        self._capacity = capacity
        self._bases: OrderedDict[tuple[str, str], BaseModel] = OrderedDict()
        self._adapters: dict[tuple[str, str], Resident] = {}

    def base(self, wanted: Base) -> BaseModel:
        """The base model, loaded if need be.

        Raises:
            EngineRefusal: it cannot be loaded, or is not the one that `wanted.digest` pins.
        """
        path = locate(wanted, allow_hub=self._allow_hub)
        key = (str(path), base_digest(path))
        if key not in self._bases or wanted.digest not in (None, key[1]):
            self._evict(self._capacity - 1)
            self._bases[key] = self._open(wanted)
        self._bases.move_to_end(key)
        return self._bases[key]

    def adapter(self, base: BaseModel, lora: LoraSpec) -> Resident:
        """A resident of this shape on a base that `base` returned; its weights are undefined."""
        key = (str(base.path), base.digest)
        present = self._adapters.get(key)
        if present is not None and present.lora == canonical_spec(base, lora):
            return present
        if present is not None:
            present.close()
        self._adapters[key] = Resident(base, lora)
        return self._adapters[key]

    def wipe(self) -> None:
        """Overwrites every resident adapter with zeros, and drops its gradients; allocates nothing."""
        for resident in self._adapters.values():
            for weight in resident.parameters.tensors:
                weight.detach().zero_()
                weight.grad = None

    def _open(self, wanted: Base) -> BaseModel:
        try:
            return open_base(wanted, self._device, allow_hub=self._allow_hub)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error) or not self._bases:
                raise
        self._evict(0)
        return open_base(wanted, self._device, allow_hub=self._allow_hub)

    def _evict(self, keep: int) -> None:
        while len(self._bases) > keep:
            key, _ = self._bases.popitem(last=False)
            self._adapters.pop(key, None)
        if self._device.type == "cuda":
            torch.cuda.empty_cache()
