"""What an adapter knows: the loss on each fact and, for some, what it answers when asked."""

import statistics
from collections.abc import Iterable, Iterator, Sequence

import torch
from pydantic import BaseModel, ConfigDict
from torch import nn
from transformers import GenerationConfig, PreTrainedTokenizerBase

from service.domain.adapters import TrainingFormat
from service.domain.instances import Content
from workers.engine.losses import mean_losses
from workers.engine.tokens import encode

BATCH = 64
MAX_NEW_TOKENS = 40


class Question(BaseModel):
    """A prompt and the completion that the group's adapter is expected to know or not to know."""

    model_config = ConfigDict(frozen=True)

    group: str
    prompt: str
    completion: str
    ask: bool = True


class Mark(BaseModel):
    """One question's result: loss in nats a token, and the greedy answer if it was asked for."""

    model_config = ConfigDict(frozen=True)

    question: Question
    loss: float
    answer: str | None

    @property
    def is_right(self) -> bool:
        return self.answer is not None and self.answer.strip() == self.question.completion.strip()


class Marks(BaseModel):
    """The results of one adapter."""

    model_config = ConfigDict(frozen=True)

    marks: tuple[Mark, ...]

    def of(self, group: str) -> Iterator[Mark]:
        return (mark for mark in self.marks if mark.question.group == group)

    def loss(self, group: str) -> float:
        """The mean loss over a group."""
        return statistics.fmean(mark.loss for mark in self.of(group))

    def right(self, group: str) -> tuple[int, int]:
        """How many of the group's asked questions were answered word for word, and how many were asked."""
        asked = [mark for mark in self.of(group) if mark.answer is not None]
        return sum(mark.is_right for mark in asked), len(asked)


def take(model: nn.Module, tokenizer: PreTrainedTokenizerBase, questions: Sequence[Question]) -> Marks:
    """Examine a causal language model, with whatever adapter it carries."""
    fmt = TrainingFormat()
    tokens = [encode(tokenizer, Content(prompt=q.prompt, completion=q.completion), fmt) for q in questions]
    pad_id = int(tokenizer.pad_token_id or tokenizer.eos_token_id)
    losses = mean_losses(model, tokens, pad_id, torch.device("cpu"), BATCH).tolist()
    asked = [question.prompt for question in questions if question.ask]
    answers = iter(list(greedy_answers(model, tokenizer, asked)))
    return Marks(
        marks=tuple(
            Mark(question=question, loss=loss, answer=next(answers) if question.ask else None)
            for question, loss in zip(questions, losses, strict=True)
        )
    )


@torch.no_grad()
def greedy_answers(model: nn.Module, tokenizer: PreTrainedTokenizerBase, prompts: Iterable[str]) -> Iterator[str]:
    """The most likely continuation of each prompt, token by token, up to the end token."""
    generation = GenerationConfig(  # type: ignore[no-untyped-call]
        do_sample=False,
        max_new_tokens=MAX_NEW_TOKENS,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    waiting = list(prompts)
    for start in range(0, len(waiting), BATCH):
        # Padded on the left, so that every row goes on where its prompt ends.
        batch = tokenizer(
            waiting[start : start + BATCH],
            add_special_tokens=False,
            padding=True,
            padding_side="left",
            return_tensors="pt",
            return_token_type_ids=False,
        )
        generated = model.generate(**batch, generation_config=generation)  # type: ignore[operator]
        yield from tokenizer.batch_decode(generated[:, batch["input_ids"].shape[1] :], skip_special_tokens=True)
