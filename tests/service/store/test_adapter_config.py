import json
import math
from typing import Any

import pytest

from service.domain.adapters import LoraSpec
from service.domain.errors import InvalidArchive, Unsupported
from service.store.adapter_config import parse_config, plain_config

# What PEFT 0.21.2 writes for a plain adapter, every key of it.
PEFT: dict[str, Any] = {
    "alora_invocation_tokens": None,
    "alpha_pattern": {},
    "arrow_config": None,
    "auto_mapping": None,
    "base_model_name_or_path": "meta-llama/Llama-3.1-8B",
    "bias": "none",
    "corda_config": None,
    "ensure_weight_tying": False,
    "eva_config": None,
    "exclude_modules": None,
    "fan_in_fan_out": False,
    "inference_mode": True,
    "init_lora_weights": True,
    "kasa_config": None,
    "layer_replication": None,
    "layers_pattern": None,
    "layers_to_transform": None,
    "loftq_config": {},
    "lora_alpha": 32,
    "lora_bias": False,
    "lora_dropout": 0.05,
    "lora_ga_config": None,
    "megatron_config": None,
    "megatron_core": "megatron.core",
    "modules_to_save": None,
    "monteclora_config": None,
    "peft_type": "LORA",
    "peft_version": "0.21.2",
    "qalora_group_size": 16,
    "r": 16,
    "rank_pattern": {},
    "revision": None,
    "target_modules": ["v_proj", "q_proj"],
    "target_parameters": None,
    "task_type": "CAUSAL_LM",
    "trainable_token_indices": None,
    "use_bdlora": None,
    "use_dora": False,
    "use_qalora": False,
    "use_rslora": False,
    "velora_config": None,
}


def config(**changes: Any) -> bytes:
    return json.dumps({**PEFT, **changes}).encode()


def test_a_plain_adapter() -> None:
    declared = parse_config(config())

    assert (declared.r, declared.alpha, declared.dropout) == (16, 32.0, 0.05)
    assert declared.target_modules == frozenset({"q_proj", "v_proj"})
    assert declared.base_model == "meta-llama/Llama-3.1-8B"


def test_the_four_keys_that_matter_are_enough() -> None:
    declared = parse_config(b'{"peft_type": "LORA", "r": 4, "lora_alpha": 8, "target_modules": ["q_proj"]}')

    assert (declared.r, declared.alpha, declared.dropout, declared.base_model) == (4, 8.0, 0.0, None)


def test_rank_stabilised_scaling_becomes_plain_scaling() -> None:
    declared = parse_config(config(use_rslora=True, r=64, lora_alpha=16))

    assert declared.alpha / declared.r == pytest.approx(16 / math.sqrt(64))


@pytest.mark.parametrize(
    "changes",
    [
        {"target_modules": r".*layers\.[01]\.self_attn\.q_proj"},
        {"target_modules": None},
        {"target_modules": []},
        {"exclude_modules": ["lm_head"]},
        {"layers_to_transform": [0, 1]},
        {"layers_to_transform": 0},
    ],
)
def test_where_patterns_select_modules_the_tensors_will_decide(changes: dict[str, Any]) -> None:
    assert parse_config(config(**changes)).target_modules is None


@pytest.mark.parametrize(
    "changes",
    [
        {"auto_mapping": {"base_model_class": "os", "parent_library": "os"}},
        {"megatron_core": "evil.module", "megatron_config": {"x": 1}},
        {"runtime_config": {"ephemeral_gpu_offload": True}},
        {"a_key_of_the_future": {"x": 1}},
        {"init_lora_weights": "gaussian"},
        {"init_lora_weights": "eva", "eva_config": {"rho": 2}},
        {"init_lora_weights": False},
        {"use_dora": None},
        {"fan_in_fan_out": True},
        {"task_type": None},
    ],
)
def test_keys_that_do_not_change_what_is_computed_are_dropped(changes: dict[str, Any]) -> None:
    assert parse_config(config(**changes)) == parse_config(config())


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"peft_type": "IA3"}, "peft-type"),
        ({"peft_type": "PROMPT_TUNING"}, "peft-type"),
        ({"peft_type": None}, "peft-type"),
        ({"task_type": "SEQ_CLS"}, "task-type"),
        ({"use_dora": True}, "dora"),
        ({"modules_to_save": ["lm_head"]}, "modules-to-save"),
        ({"bias": "all"}, "bias"),
        ({"bias": "lora_only"}, "bias"),
        ({"lora_bias": True}, "bias"),
        ({"rank_pattern": {"q_proj": 4}}, "rank-pattern"),
        ({"alpha_pattern": {"q_proj": 4}}, "alpha-pattern"),
        ({"trainable_token_indices": [1]}, "trainable-tokens"),
        ({"target_parameters": ["experts.gate_up_proj"]}, "target-parameters"),
        ({"layer_replication": [[0, 4], [2, 5]]}, "layer-replication"),
        ({"alora_invocation_tokens": [5, 6]}, "activated-lora"),
        ({"use_qalora": True}, "lora-variant"),
        ({"use_bdlora": {"nblocks": 2}}, "lora-variant"),
        ({"velora_config": {"x": 1}}, "lora-variant"),
        ({"monteclora_config": {"x": 1}}, "lora-variant"),
        ({"kasa_config": {"x": 1}}, "lora-variant"),
        ({"arrow_config": {"x": 1}}, "lora-variant"),
        ({"init_lora_weights": "pissa"}, "initialisation"),
        ({"init_lora_weights": "pissa_niter_4"}, "initialisation"),
        ({"init_lora_weights": "olora"}, "initialisation"),
        ({"init_lora_weights": "corda"}, "initialisation"),
        ({"init_lora_weights": "loftq"}, "initialisation"),
        ({"init_lora_weights": "lora_ga"}, "initialisation"),
        ({"init_lora_weights": "mica"}, "initialisation"),
        ({"use_something_of_the_future": True}, "unknown-option"),
    ],
)
def test_whatever_computes_something_else_is_refused_by_name(changes: dict[str, Any], code: str) -> None:
    with pytest.raises(Unsupported) as caught:
        parse_config(config(**changes))

    assert caught.value.code == code
    assert caught.value.field is not None
    assert caught.value.field.startswith("/archive/adapter_config.json")
    assert code == "unknown-option" or caught.value.field.endswith(f"/{next(iter(changes))}")
    assert caught.value.fix
    assert "future" not in f"{caught.value.detail}{caught.value.field}"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("r", 0),
        ("r", -4),
        ("r", 513),
        ("r", 8.5),
        ("r", "16"),
        ("r", True),
        ("r", None),
        ("lora_alpha", 0),
        ("lora_alpha", -1),
        ("lora_alpha", "32"),
        ("lora_alpha", None),
        ("lora_dropout", 1.0),
        ("lora_dropout", -0.1),
        ("target_modules", [1, 2]),
        ("target_modules", {"q_proj": 1}),
        ("base_model_name_or_path", "x" * 1001),
        ("use_rslora", "yes"),
    ],
)
def test_impossible_values_are_refused_with_their_key_and_not_repeated(key: str, value: Any) -> None:
    with pytest.raises(InvalidArchive) as caught:
        parse_config(config(**{key: value}))

    assert caught.value.code == "config-malformed"
    assert caught.value.field == f"/archive/adapter_config.json/{key}"
    assert "xxx" not in caught.value.detail


def test_missing_keys_are_refused_with_their_name() -> None:
    with pytest.raises(InvalidArchive) as caught:
        parse_config(b'{"peft_type": "LORA", "lora_alpha": 4}')

    assert caught.value.field == "/archive/adapter_config.json/r"


@pytest.mark.parametrize("text", ["NaN", "Infinity", "1e999"])
def test_numbers_that_are_not_finite_are_refused(text: str) -> None:
    with pytest.raises(InvalidArchive):
        parse_config(config().replace(b'"lora_alpha": 32', b'"lora_alpha": ' + text.encode()))


@pytest.mark.parametrize(
    "data", [b"", b"[]", b"null", b'"LORA"', b"{", b"\xff", b"[" * 100_000, b'{"a": "' + b"x" * 2**20 + b'"}']
)
def test_files_that_are_no_configuration(data: bytes) -> None:
    with pytest.raises(InvalidArchive) as caught:
        parse_config(data)

    assert caught.value.code == "config-malformed"


def test_the_plain_configuration_reads_back_as_the_same_adapter() -> None:
    spec = LoraSpec(r=8, alpha=8 * math.sqrt(8), dropout=0.1, target_modules=("v_proj", "q_proj"))

    data = plain_config(spec, "base")
    declared = parse_config(data)

    assert (declared.r, declared.alpha, declared.dropout) == (spec.r, spec.alpha, spec.dropout)
    assert declared.target_modules == frozenset(spec.target_modules)
    assert declared.base_model == "base"
    assert data == plain_config(spec.model_copy(update={"target_modules": ("q_proj", "v_proj")}), "base")
