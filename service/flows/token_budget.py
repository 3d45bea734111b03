"""Refuse corrections that cannot be trained on, before they are accepted.

The tokenizer file is read where the API can see the base model; where it cannot, the worker makes the
same check and the request needs attention.
"""

from functools import lru_cache
from pathlib import Path

from tokenizers import Tokenizer

from service.domain.adapters import TrainingFormat
from service.domain.errors import InvalidInput
from service.domain.instances import Content
from service.flows.match import LineMatch


def check_tokens(match: LineMatch) -> None:
    """Raises InvalidInput for a new text that tokenises to nothing or exceeds the training length."""
    news = {instance_id: new for instance_id, new in match.edits.items() if new is not None}
    tokenizer = _tokenizer(str(Path(match.line.base_path) / "tokenizer.json")) if news else None
    if tokenizer is None:
        return
    limit = TrainingFormat.model_validate(match.version.training_format).max_length
    for new in news.values():
        _check(tokenizer, new, limit)


def _check(tokenizer: Tokenizer, content: Content, limit: int) -> None:
    turns = (
        [content.prompt or "", content.completion or ""]
        if content.messages is None
        else [message.content for message in content.messages]
    )
    counts = [len(tokenizer.encode(turn, add_special_tokens=False).ids) for turn in turns]
    if counts[-1] == 0:
        raise InvalidInput(
            "A corrected response tokenises to nothing.",
            field="/operations",
            fix="Give a response with visible text, or remove the instance.",
            code="empty-completion",
        )
    if sum(counts) > limit:
        raise InvalidInput(
            f"A corrected instance has {sum(counts)} tokens; the line's training length is {limit}.",
            field="/operations",
            fix="Shorten the text.",
            code="too-many-tokens",
            extra={"tokens": sum(counts), "limit": limit},
        )


@lru_cache(maxsize=16)
def _tokenizer(path: str) -> Tokenizer | None:
    return Tokenizer.from_file(path) if Path(path).is_file() else None
