"""What PEFT really writes, taken or refused by the service's check of uploads."""

import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, TaskType, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM

from service.domain.errors import InvalidInput
from service.store.adapter_check import CheckedAdapter, take_adapter

# PEFT 0.21 asks transformers 5.23 for a property that it deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")

Save = Callable[..., Path]


def tiny_llama(hidden: int = 32) -> LlamaForCausalLM:
    torch.manual_seed(0)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=64,
            hidden_size=hidden,
            intermediate_size=2 * hidden,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
        )
    )


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("base")
    tiny_llama().save_pretrained(directory)
    return directory


@pytest.fixture
def upload(tmp_path: Path) -> Save:
    """Saves an adapter with these LoRA options as PEFT does, and packs its directory as a user would."""

    def run(*, dtype: torch.dtype = torch.float32, **options: Any) -> Path:
        lora = LoraConfig(**{"r": 4, "target_modules": ["q_proj", "v_proj"], "task_type": "CAUSAL_LM", **options})
        model = get_peft_model(tiny_llama(), lora)
        for name, parameter in model.named_parameters():
            if "lora_" in name:
                torch.nn.init.normal_(parameter)
        model.to(dtype).save_pretrained(str(tmp_path / "saved"))
        with tarfile.open(tmp_path / "upload.tar.gz", "w:gz") as archive:
            archive.add(tmp_path / "saved", "my-adapter")
        return tmp_path / "upload.tar.gz"

    return run


def logits(adapter: Path) -> torch.Tensor:
    model = PeftModel.from_pretrained(tiny_llama(), str(adapter)).eval()
    with torch.no_grad():
        return torch.as_tensor(model(torch.arange(8)[None]).logits)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"target_modules": "all-linear"},
        {"target_modules": r".*\.1\..*\.(q|v)_proj"},
        {"layers_to_transform": [1]},
        {"target_modules": ["q_proj", "down_proj"], "lora_alpha": 3, "lora_dropout": 0.1},
        {"use_rslora": True},
        {"init_lora_weights": "gaussian"},
        {"task_type": None},
        {"dtype": torch.bfloat16},
    ],
)
def test_a_plain_adapter_is_taken_and_computes_what_it_did(
    upload: Save, base: Path, tmp_path: Path, options: dict[str, Any]
) -> None:
    checked = take_adapter(upload(**options), tmp_path / "taken", base=base)

    assert checked.spec.r == 4
    torch.testing.assert_close(logits(tmp_path / "taken"), logits(tmp_path / "saved"))


def test_the_specification_trains_the_same_modules_again(upload: Save, base: Path, tmp_path: Path) -> None:
    for target in (["q_proj", "v_proj"], r".*\.1\..*\.(q|v)_proj"):
        checked = take_adapter(upload(target_modules=target), tmp_path / f"taken-{len(target)}", base=base)
        assert adapted(checked) == set(checked.modules)


def adapted(checked: CheckedAdapter) -> set[str]:
    """The modules that PEFT adapts when it is given the specification."""
    lora = LoraConfig(r=checked.spec.r, target_modules=list(checked.spec.target_modules), task_type=TaskType.CAUSAL_LM)
    names = (name for name, _ in get_peft_model(tiny_llama(), lora).named_parameters() if ".lora_A." in name)
    return {name.removeprefix("base_model.model.").partition(".lora_A")[0] for name in names}


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"use_dora": True}, "dora"),
        ({"modules_to_save": ["lm_head"]}, "modules-to-save"),
        ({"bias": "lora_only"}, "bias"),
        ({"lora_bias": True}, "bias"),
        ({"rank_pattern": {"q_proj": 2}}, "rank-pattern"),
        ({"alpha_pattern": {"q_proj": 2}}, "alpha-pattern"),
        ({"init_lora_weights": "pissa"}, "initialisation"),
        ({"init_lora_weights": "olora"}, "initialisation"),
        ({"trainable_token_indices": [1, 2]}, "trainable-tokens"),
        ({"target_modules": ["q_proj", "embed_tokens"]}, "embedding-lora"),
        ({"task_type": "SEQ_CLS"}, "task-type"),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_what_lethe_cannot_unlearn_is_refused_by_name(
    upload: Save, base: Path, tmp_path: Path, options: dict[str, Any], code: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        take_adapter(upload(**options), tmp_path / "taken", base=base)

    assert caught.value.code == code
    assert not (tmp_path / "taken").exists()


def test_an_adapter_of_another_base_model_is_refused(upload: Save, tmp_path: Path) -> None:
    tiny_llama(hidden=64).save_pretrained(tmp_path / "wider")

    with pytest.raises(InvalidInput) as caught:
        take_adapter(upload(), tmp_path / "taken", base=tmp_path / "wider")

    assert caught.value.code == "wrong-base"
