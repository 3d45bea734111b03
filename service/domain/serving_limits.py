"""Which adapters an inference server can take: it fixes the highest rank and the modules when it starts."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

# Servers compute some projections as one, and may name that one; adapters always name the parts.
FUSED: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"qkv_proj": ("q_proj", "k_proj", "v_proj"), "gate_up_proj": ("gate_proj", "up_proj")}
)


@dataclass(frozen=True, slots=True)
class ServingLimits:
    """What a server was started with; None: no limit known. `target_modules` are last names: `q_proj`."""

    max_lora_rank: int | None = None
    target_modules: Collection[str] | None = None


def misfit(r: int, modules: Iterable[str], limits: ServingLimits) -> str | None:
    """Why a server cannot serve an adapter of rank `r` on `modules` (last names or full paths); None if it can.

    A rank above the limit fails to load. Modules outside the limit are worse: some servers leave them out without
    saying so, and answer from the base model.
    """
    if limits.max_lora_rank is not None and r > limits.max_lora_rank:
        return f"The adapter has rank {r}; the server takes at most {limits.max_lora_rank}."
    if limits.target_modules is None:
        return None
    taken = {part for name in limits.target_modules for part in FUSED.get(name, (name,))}
    outside = sorted({module.rsplit(".", 1)[-1] for module in modules} - taken)
    return f"The server does not adapt {', '.join(outside)}, which the adapter does." if outside else None
