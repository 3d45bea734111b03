"""Our own strict reading of PEFT's `adapter_config.json`.

Only what decides the function of a plain LoRA adapter is kept. Keys that tell a loader which modules to
import, or how an adapter was initialised or is run, are dropped; whatever would make the adapter compute
something else than x + (alpha / r) B A x is refused.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from service.domain.adapters import LoraSpec
from service.domain.errors import InvalidArchive, Unsupported

FIELD = "/archive/adapter_config.json"
_CONFIG_BYTES = 2**20


@dataclass(frozen=True, slots=True)
class DeclaredAdapter:
    """What a configuration says. `alpha` is that of plain scaling alpha / r.

    `target_modules` is None where the configuration selects modules by patterns or layers; the tensors
    decide then. `base_model` is the name or path the trainer saw, which need not mean anything here.
    """

    r: int
    alpha: float
    dropout: float
    target_modules: frozenset[str] | None
    base_model: str | None


class _PeftConfig(BaseModel):
    """The keys of PEFT's LoraConfig that decide what the adapter computes."""

    model_config = ConfigDict(extra="ignore", strict=True)

    base_model_name_or_path: str | None = Field(default=None, max_length=1000)
    r: int = Field(ge=1, le=512)
    lora_alpha: float = Field(gt=0, allow_inf_nan=False)
    lora_dropout: float = Field(default=0.0, ge=0, lt=1)
    target_modules: list[str] | str | None = None
    exclude_modules: list[str] | str | None = None
    layers_to_transform: list[int] | int | None = None
    use_rslora: bool | None = None
    init_lora_weights: bool | str | None = True
    bias: str = "none"


@dataclass(frozen=True, slots=True)
class _Unsupported:
    """A key that must not be set, the problem's code, and what it stands for."""

    key: str
    code: str
    what: str


_UNSUPPORTED = (
    _Unsupported("use_dora", "dora", "weight-decomposed adaptation (DoRA)"),
    _Unsupported("modules_to_save", "modules-to-save", "fully trained modules beside LoRA"),
    _Unsupported("lora_bias", "bias", "trained biases"),
    _Unsupported("rank_pattern", "rank-pattern", "ranks that differ between modules"),
    _Unsupported("alpha_pattern", "alpha-pattern", "scalings that differ between modules"),
    _Unsupported("trainable_token_indices", "trainable-tokens", "trained token embeddings"),
    _Unsupported("target_parameters", "target-parameters", "LoRA on bare parameters"),
    _Unsupported("layer_replication", "layer-replication", "replicated layers"),
    _Unsupported("alora_invocation_tokens", "activated-lora", "activation by invocation tokens (aLoRA)"),
    _Unsupported("use_qalora", "lora-variant", "quantisation-aware LoRA"),
    _Unsupported("use_bdlora", "lora-variant", "block-diagonal LoRA"),
    _Unsupported("velora_config", "lora-variant", "VeLoRA"),
    _Unsupported("monteclora_config", "lora-variant", "MonteCLoRA"),
    _Unsupported("kasa_config", "lora-variant", "KaSA"),
    _Unsupported("arrow_config", "lora-variant", "Arrow routing"),
)
_KNOWN_SWITCHES = frozenset({"use_rslora"} | {rule.key for rule in _UNSUPPORTED})
# Other initialisations change the base model's weights (PiSSA, OLoRA, CorDA, LoftQ, LoRA-GA) or freeze B (MiCA).
_INITIALISATIONS = (None, True, False, "gaussian", "eva", "orthogonal")


def parse_config(data: bytes) -> DeclaredAdapter:
    """The adapter that a configuration file declares.

    Rank-stabilised scaling alpha / sqrt(r) (arXiv:2312.03732) becomes plain scaling with alpha sqrt(r).

    Raises:
        InvalidArchive: `config-malformed`: no JSON object, or a key lacks or has an impossible value.
        Unsupported: one code a feature: `peft-type`, `task-type`, `initialisation`, `bias`, `unknown-option`,
            and those of the table above.
    """
    members = _parse(data)
    if members.get("peft_type") != "LORA":
        _refuse("peft_type", "peft-type", "a kind of adapter other than LoRA")
    if members.get("task_type") not in (None, "CAUSAL_LM"):
        _refuse("task_type", "task-type", "a task other than causal language modelling")
    for rule in _UNSUPPORTED:
        if members.get(rule.key):
            _refuse(rule.key, rule.code, rule.what)
    if any(key.startswith("use_") and key not in _KNOWN_SWITCHES and value for key, value in members.items()):
        _refuse(None, "unknown-option", "a switch that Lethe does not know")
    config = _validated(members)
    if config.bias != "none":
        _refuse("bias", "bias", "trained biases")
    if config.init_lora_weights not in _INITIALISATIONS:
        _refuse("init_lora_weights", "initialisation", "an initialisation that changes the base model or freezes B")
    listed = config.target_modules if isinstance(config.target_modules, list) else None
    selected = config.exclude_modules or config.layers_to_transform is not None
    return DeclaredAdapter(
        r=config.r,
        alpha=config.lora_alpha * (math.sqrt(config.r) if config.use_rslora else 1),
        dropout=config.lora_dropout,
        target_modules=frozenset(listed) if listed and not selected else None,
        base_model=config.base_model_name_or_path or None,
    )


def plain_config(spec: LoraSpec, base_model: str | None) -> bytes:
    """The configuration that replaces a foreign one: only what was understood, in the same bytes every time."""
    members = {
        "base_model_name_or_path": base_model,
        "bias": "none",
        "inference_mode": True,
        "lora_alpha": spec.alpha,
        "lora_dropout": spec.dropout,
        "peft_type": "LORA",
        "r": spec.r,
        "target_modules": sorted(spec.target_modules),
        "task_type": "CAUSAL_LM",
    }
    return json.dumps(members, indent=2, sort_keys=True).encode() + b"\n"


def _parse(data: bytes) -> Mapping[str, Any]:
    try:
        members = json.loads(data.decode("utf-8")) if len(data) <= _CONFIG_BYTES else None
    except (ValueError, RecursionError):
        members = None
    if not isinstance(members, dict):
        raise InvalidArchive(
            "adapter_config.json is not a JSON object of sensible size.",
            field=FIELD,
            fix="Save the adapter with PEFT's save_pretrained.",
            code="config-malformed",
        )
    return members


def _validated(members: Mapping[str, Any]) -> _PeftConfig:
    try:
        return _PeftConfig.model_validate(members)
    except ValidationError as error:
        key = error.errors(include_input=False, include_url=False)[0]["loc"][0]
        raise InvalidArchive(
            "adapter_config.json has a missing or impossible value.",
            field=f"{FIELD}/{key}",
            fix="Save the adapter with PEFT's save_pretrained.",
            code="config-malformed",
        ) from None


def _refuse(key: str | None, code: str, what: str) -> NoReturn:
    raise Unsupported(
        f"The adapter uses {what}, which Lethe does not unlearn.",
        field=FIELD if key is None else f"{FIELD}/{key}",
        fix="Train or convert it to plain LoRA with one rank and one scaling.",
        code=code,
    )
