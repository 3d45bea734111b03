"""Real but tiny parts for the engine's tests: a byte-level tokenizer, random Llama and GPT-2 bases, a dataset."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from transformers.utils import logging

from service.domain.adapters import LoraSpec, Recipe, TrainingFormat
from service.domain.engine import Base, TrainingSet
from tests.workers.engine.small_data import CPU, VOCABULARY, make_examples
from workers.engine.engine import Engine
from workers.engine.loading import BaseModel, base_digest, open_base
from workers.engine.resident import Resident

CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}[{{ message.role }}]{{ message.content }}{{ eos_token }}{% endfor %}"
    "{% if add_generation_prompt %}[assistant]{% endif %}"
)


@pytest.fixture(scope="session", autouse=True)
def _quiet_and_single_threaded() -> None:
    torch.set_num_threads(1)
    logging.disable_progress_bar()


@pytest.fixture(scope="session")
def tokenizer() -> PreTrainedTokenizerFast:
    """One token a byte, plus pad, begin and end."""
    special = ["<pad>", "<s>", "</s>"]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    bytewise = Tokenizer(models.BPE(vocab={token: index for index, token in enumerate(special + alphabet)}, merges=[]))
    bytewise.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bytewise.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(tokenizer_object=bytewise, pad_token="<pad>", bos_token="<s>", eos_token="</s>")
    fast.chat_template = CHAT_TEMPLATE
    return fast


@pytest.fixture(scope="session")
def llama_path(tokenizer: PreTrainedTokenizerFast, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random Llama of about 27 000 parameters as an ordinary Hugging Face directory."""
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=128,
        tie_word_embeddings=True,
        initializer_range=0.5,
    )
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("llama")
    LlamaForCausalLM(config).save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path


@pytest.fixture(scope="session")
def gpt2_path(tokenizer: PreTrainedTokenizerFast, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random GPT-2, whose projections are Conv1D (transposed weights)."""
    config = GPT2Config(
        vocab_size=len(tokenizer),
        n_embd=32,
        n_layer=2,
        n_head=4,
        n_positions=128,
        initializer_range=0.5,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        loss_type="ForCausalLM",
    )
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("gpt2")
    GPT2LMHeadModel(config).save_pretrained(path)
    tokenizer.save_pretrained(path)
    return path


@pytest.fixture
def open_resident() -> Callable[[Path, LoraSpec], Resident]:
    """A fresh resident on its own copy of the base."""

    def opened(path: Path, lora: LoraSpec) -> Resident:
        return Resident(open_base(Base(str(path), None, None), CPU), lora)

    return opened


@pytest.fixture
def llama(llama_path: Path) -> BaseModel:
    return open_base(Base(str(llama_path), None, None), CPU)


@pytest.fixture
def lora() -> LoraSpec:
    return LoraSpec(r=4, alpha=8, target_modules=("q_proj", "v_proj", "gate_proj", "up_proj", "down_proj"))


@pytest.fixture
def resident(llama: BaseModel, lora: LoraSpec) -> Resident:
    return Resident(llama, lora)


@pytest.fixture
def recipe(lora: LoraSpec) -> Recipe:
    """Enough steps to memorise the small dataset, in about a second."""
    return Recipe(epochs=8, batch_size=8, learning_rate=1e-2, seed=3, lora=lora)


@pytest.fixture
def data(llama_path: Path) -> TrainingSet:
    """36 instances (so the last batch of 8 is smaller) and 12 never-seen ones."""
    return TrainingSet(
        base=Base(str(llama_path), None, base_digest(llama_path)),
        format=TrainingFormat(max_length=64),
        examples=make_examples(36, seed=1),
        slots=tuple(range(36)),
        slot_count=36,
        holdout=make_examples(12, seed=2, prefix="new"),
    )


@pytest.fixture
def small(
    tmp_path: Path, tokenizer: PreTrainedTokenizerFast, open_resident: Callable[[Path, LoraSpec], Resident]
) -> Resident:
    """A Llama of five tokens with LoRA away from B = 0; the tokenizer beside it is never used."""
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=8,
        intermediate_size=12,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=8,
        initializer_range=0.5,
        bos_token_id=None,
        eos_token_id=None,
    )
    torch.manual_seed(0)
    LlamaForCausalLM(config).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    resident = open_resident(tmp_path, LoraSpec(r=1, alpha=2, target_modules=("q_proj", "v_proj", "down_proj")))
    generator = torch.Generator().manual_seed(1)
    resident.parameters.set(0.5 * torch.randn(resident.parameters.size, generator=generator))
    return resident


@pytest.fixture
def engine() -> Engine:
    return Engine(device="cpu")
