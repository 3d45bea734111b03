"""From an instance's text to token ids and the positions that carry a loss.

A wrong template, mask or end token silently corrupts every gradient, so there is one way through
here for training, import checks, influence and verification alike.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import torch
from jinja2 import TemplateError
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from service.domain.adapters import TrainingFormat
from service.domain.instances import Content, Message
from workers.engine.errors import EngineRefusal

NO_LOSS = -100


@dataclass(frozen=True, slots=True)
class Tokens:
    """One instance: `ids`, and `labels` aligned with them (the id, or -100 where no loss is taken).

    The label at position t is predicted from the ids before t, so the first label is always -100.
    """

    ids: tuple[int, ...]
    labels: tuple[int, ...]

    @property
    def label_count(self) -> int:
        """How many tokens the instance's loss is averaged over."""
        return sum(label != NO_LOSS for label in self.labels)


@dataclass(frozen=True, slots=True)
class Batch:
    """Instances padded on the right to one length: three int64 tensors [B, T]."""

    input_ids: Tensor
    attention_mask: Tensor
    labels: Tensor

    def to(self, device: torch.device) -> Self:
        return type(self)(
            self.input_ids.to(device, non_blocking=True),
            self.attention_mask.to(device, non_blocking=True),
            self.labels.to(device, non_blocking=True),
        )


def encode(tokenizer: PreTrainedTokenizerBase, content: Content, fmt: TrainingFormat) -> Tokens:
    """Token ids and labels of one instance under a training format.

    Raises:
        EngineRefusal: `empty-completion` if the completion tokenises to nothing, `too-many-tokens` if the
            instance exceeds `fmt.max_length`, `chat-template` if the tokenizer cannot mark assistant turns.
    """
    if content.messages is None:
        ids, is_target = _encode_pair(tokenizer, content.prompt or "", content.completion or "", fmt)
    else:
        ids, is_target = _encode_chat(tokenizer, content.messages)
    if len(ids) > fmt.max_length:
        raise EngineRefusal(
            "too-many-tokens", f"An instance has {len(ids)} tokens; the format allows {fmt.max_length}."
        )
    labels = [
        token if position > 0 and (fmt.train_on_prompt or target) else NO_LOSS
        for position, (token, target) in enumerate(zip(ids, is_target, strict=True))
    ]
    if all(label == NO_LOSS for label in labels):
        raise EngineRefusal("empty-completion", "An instance has no token to learn from.")
    return Tokens(tuple(ids), tuple(labels))


def collate(tokens: Sequence[Tokens], pad_id: int) -> Batch:
    """One batch [B, T] of the given instances, T the longest of them."""
    length = max(len(instance.ids) for instance in tokens)

    def padded(rows: Sequence[Sequence[int]], fill: int) -> Tensor:
        return torch.tensor([[*row, *[fill] * (length - len(row))] for row in rows], dtype=torch.long)

    return Batch(
        padded([instance.ids for instance in tokens], pad_id),
        padded([[1] * len(instance.ids) for instance in tokens], 0),
        padded([instance.labels for instance in tokens], NO_LOSS),
    )


def _encode_pair(
    tokenizer: PreTrainedTokenizerBase, prompt: str, completion: str, fmt: TrainingFormat
) -> tuple[list[int], list[bool]]:
    before = _ids(tokenizer, prompt)
    after = _ids(tokenizer, completion)
    if not after:
        raise EngineRefusal("empty-completion", "A completion tokenises to nothing.")
    if fmt.add_bos:
        before = [_special(tokenizer, "bos"), *before]
    if fmt.add_eos:
        after = [*after, _special(tokenizer, "eos")]
    return before + after, [False] * len(before) + [True] * len(after)


def _encode_chat(tokenizer: PreTrainedTokenizerBase, messages: tuple[Message, ...]) -> tuple[list[int], list[bool]]:
    """The template alone decides about BOS and end-of-turn tokens of a chat."""
    if not tokenizer.chat_template:
        raise EngineRefusal("chat-template", "The base model's tokenizer has no chat template.")
    turns = [{"role": message.role, "content": message.content} for message in messages]
    try:
        return _encode_turns(tokenizer, turns)
    except TemplateError as error:
        # Also what the template's sandbox forbids: templates come with the base, and are no place for code.
        told = f"The base model's chat template cannot render a chat: {type(error).__name__}."
        raise EngineRefusal("chat-template", told) from error


def _encode_turns(tokenizer: PreTrainedTokenizerBase, turns: list[dict[str, str]]) -> tuple[list[int], list[bool]]:
    if "{% generation" in tokenizer.chat_template or "{%- generation" in tokenizer.chat_template:
        marked: Any = tokenizer.apply_chat_template(turns, return_dict=True, return_assistant_tokens_mask=True)
        return list(marked["input_ids"]), [bool(flag) for flag in marked["assistant_masks"]]
    if not tokenizer.is_fast:
        raise EngineRefusal("chat-template", "Chats need a tokenizer that reports character offsets.")
    text, spans = _assistant_spans(tokenizer, turns)
    coded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    is_target = [any(start < to and end > since for since, to in spans) for start, end in coded["offset_mapping"]]
    return list(coded["input_ids"]), is_target


def _assistant_spans(
    tokenizer: PreTrainedTokenizerBase, turns: list[dict[str, str]]
) -> tuple[str, list[tuple[int, int]]]:
    """The rendered chat and the character spans of its assistant turns, each up to the end of its turn.

    A turn is what rendering adds to the generation prompt of the turns before it, so the template
    must render a chat's beginning as the beginning of the chat.
    """
    text = _render(tokenizer, turns, generation=False)
    spans = []
    for position, turn in enumerate(turns):
        if turn["role"] == "assistant":
            before = _render(tokenizer, turns[:position], generation=True)
            through = _render(tokenizer, turns[: position + 1], generation=False)
            if not (text.startswith(through) and through.startswith(before)):
                raise EngineRefusal("chat-template", "The chat template rewrites earlier turns of a chat.")
            spans.append((len(before), len(through)))
    return text, spans


def _render(tokenizer: PreTrainedTokenizerBase, turns: list[dict[str, str]], *, generation: bool) -> str:
    if not turns and not generation:
        return ""
    return str(tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=generation))


def _ids(tokenizer: PreTrainedTokenizerBase, text: str) -> list[int]:
    return list(tokenizer(text, add_special_tokens=False).input_ids)


def _special(tokenizer: PreTrainedTokenizerBase, name: str) -> int:
    token = tokenizer.bos_token_id if name == "bos" else tokenizer.eos_token_id
    if token is None:
        raise EngineRefusal("training-format", f"The training format asks for a {name} token; the tokenizer has none.")
    return int(token)
