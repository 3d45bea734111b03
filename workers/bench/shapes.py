"""Random Llamas of a given shape, built on the device, and data of random token ids for them.

Time and memory depend on shapes alone, so nothing is downloaded and no weights are read.
"""

import random
from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from service.domain.adapters import TrainingFormat
from service.domain.engine import Base, Example, TrainingSet
from service.domain.instances import Content
from workers.engine.loading import BaseModel

# Different tokens in the completions that are trained on.
TRAINED_TOKENS = 16


@dataclass(frozen=True, slots=True)
class Shape:
    """The sizes of a Llama."""

    vocabulary: int
    hidden: int
    intermediate: int
    layers: int
    heads: int
    key_value_heads: int


SHAPES = {
    "llama-8b": Shape(128_256, 4096, 14_336, 32, 32, 8),
    "tiny": Shape(97, 32, 64, 2, 4, 2),
}


def random_base(shape: Shape, length: int, device: torch.device) -> BaseModel:
    """A random Llama for up to `length` tokens, bf16 on a GPU and fp32 on a CPU as a base is opened otherwise.

    Memory: the weights once, on the device; the host holds none of them.
    """
    config = LlamaConfig(
        vocab_size=shape.vocabulary,
        hidden_size=shape.hidden,
        intermediate_size=shape.intermediate,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.key_value_heads,
        max_position_embeddings=length,
    )
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    torch.manual_seed(0)
    with device:
        model = LlamaForCausalLM._from_config(config, dtype=dtype)  # type: ignore[no-untyped-call]
    model.requires_grad_(False)
    linear = frozenset(name for name, module in model.named_modules() if isinstance(module, torch.nn.Linear))
    return BaseModel(Path(), "", model, _numerals(shape.vocabulary), device, 0, linear)


def random_data(vocabulary: int, instances: int, holdout: int, prompt: int, completion: int) -> TrainingSet:
    """Instances of exactly `prompt` + `completion` random tokens, the loss on the completion.

    Completions that are trained on use a few tokens only, those of the holdout all of them: so a short
    training tells the two apart, as a calibration needs.
    """
    rng = random.Random(0)

    def numerals(tokens: int, count: int) -> str:
        return " ".join(map(str, rng.choices(range(tokens), k=count)))

    def example(name: str, tokens: int) -> Example:
        return Example(name, Content(prompt=numerals(vocabulary, prompt), completion=numerals(tokens, completion)))

    return TrainingSet(
        base=Base("", None, None),
        format=TrainingFormat(max_length=prompt + completion, add_eos=False),
        examples=tuple(example(f"row{index}", TRAINED_TOKENS) for index in range(instances)),
        slots=tuple(range(instances)),
        slot_count=instances,
        holdout=tuple(example(f"new{index}", vocabulary) for index in range(holdout)),
    )


def _numerals(vocabulary: int) -> PreTrainedTokenizerFast:
    """Token i is written as the numeral i."""
    words = Tokenizer(models.WordLevel({str(index): index for index in range(vocabulary)}, unk_token="0"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=words)  # type: ignore[no-untyped-call]
