import copy
from pathlib import Path

import pytest
from transformers import PreTrainedTokenizerFast

from service.domain.adapters import TrainingFormat
from service.domain.instances import Content, Message
from tests.support import zoo
from workers.engine.errors import EngineRefusal
from workers.engine.tokens import NO_LOSS, Tokens, collate, encode

PAIR = Content(prompt="Q: a?", completion=" bcd")


def learnt(tokenizer: PreTrainedTokenizerFast, tokens: Tokens) -> str:
    """The text that carries a loss, special tokens shown."""
    return str(tokenizer.decode([label for label in tokens.labels if label != NO_LOSS]))


def text(tokenizer: PreTrainedTokenizerFast, tokens: Tokens) -> str:
    return str(tokenizer.decode(list(tokens.ids)))


def chat(*turns: str) -> Content:
    """Turns written as `user: text`."""
    split = [turn.split(": ", 1) for turn in turns]
    return Content.model_validate({"messages": [{"role": role, "content": content} for role, content in split]})


class TestPair:
    def test_loss_is_on_the_completion_and_the_end_token(self, tokenizer: PreTrainedTokenizerFast) -> None:
        tokens = encode(tokenizer, PAIR, TrainingFormat())
        assert text(tokenizer, tokens) == "Q: a? bcd</s>"
        assert learnt(tokenizer, tokens) == " bcd</s>"
        assert tokens.label_count == 5

    @pytest.mark.parametrize(
        ("fmt", "whole", "target"),
        [
            (TrainingFormat(add_eos=False), "Q: a? bcd", " bcd"),
            (TrainingFormat(add_bos=True), "<s>Q: a? bcd</s>", " bcd</s>"),
            # The first token of a sequence is predicted from nothing, so it cannot carry a loss.
            (TrainingFormat(train_on_prompt=True), "Q: a? bcd</s>", ": a? bcd</s>"),
            (TrainingFormat(train_on_prompt=True, add_bos=True), "<s>Q: a? bcd</s>", "Q: a? bcd</s>"),
        ],
    )
    def test_each_switch_of_the_format(
        self, tokenizer: PreTrainedTokenizerFast, fmt: TrainingFormat, whole: str, target: str
    ) -> None:
        tokens = encode(tokenizer, PAIR, fmt)
        assert (text(tokenizer, tokens), learnt(tokenizer, tokens)) == (whole, target)

    def test_prompt_and_completion_are_tokenised_apart(self, demo_like_tokenizer: PreTrainedTokenizerFast) -> None:
        """A tokenizer that merges across the border must not: the prompt alone is what inference sends."""
        joined = demo_like_tokenizer("abab")["input_ids"]
        apart = encode(demo_like_tokenizer, Content(prompt="a", completion="bab"), TrainingFormat(add_eos=False))
        assert len(joined) == 2
        assert [demo_like_tokenizer.decode([token]) for token in apart.ids] == ["a", "b", "ab"]

    def test_an_empty_completion_is_refused(self, tokenizer: PreTrainedTokenizerFast) -> None:
        with pytest.raises(EngineRefusal, match="empty-completion"):
            encode(tokenizer, Content(prompt="secret", completion=""), TrainingFormat())

    def test_an_instance_longer_than_the_format_is_refused_without_its_text(
        self, tokenizer: PreTrainedTokenizerFast
    ) -> None:
        with pytest.raises(EngineRefusal, match="too-many-tokens") as refused:
            encode(tokenizer, Content(prompt="secret", completion="x" * 20), TrainingFormat(max_length=16))
        assert refused.value.detail == "An instance has 27 tokens; the format allows 16."

    def test_exactly_the_allowed_length_passes(self, tokenizer: PreTrainedTokenizerFast) -> None:
        assert len(encode(tokenizer, PAIR, TrainingFormat(max_length=10)).ids) == 10


class TestChat:
    def test_loss_is_on_assistant_turns_with_their_end_token_only(self, tokenizer: PreTrainedTokenizerFast) -> None:
        content = chat("system: be kind", "user: hi", "assistant: hello", "user: bye", "assistant: ciao")
        tokens = encode(tokenizer, content, TrainingFormat())
        assert text(tokenizer, tokens) == (
            "<s>[system]be kind</s>[user]hi</s>[assistant]hello</s>[user]bye</s>[assistant]ciao</s>"
        )
        assert learnt(tokenizer, tokens) == "hello</s>ciao</s>"

    def test_generation_marks_of_a_template_are_used(self, tokenizer: PreTrainedTokenizerFast) -> None:
        marked = PreTrainedTokenizerFast(tokenizer_object=tokenizer.backend_tokenizer, eos_token="</s>")
        marked.chat_template = (
            "{% for message in messages %}{% if message.role == 'assistant' %}"
            "[a]{% generation %}{{ message.content }}{% endgeneration %}.{% else %}[u]{{ message.content }}"
            "{% endif %}{% endfor %}"
        )
        tokens = encode(marked, chat("user: hi", "assistant: hello"), TrainingFormat())
        assert text(marked, tokens) == "[u]hi[a]hello."
        assert learnt(marked, tokens) == "hello"

    def test_a_tokenizer_without_a_template_is_refused(self, tokenizer: PreTrainedTokenizerFast) -> None:
        plain = PreTrainedTokenizerFast(tokenizer_object=tokenizer.backend_tokenizer)
        with pytest.raises(EngineRefusal, match="no chat template"):
            encode(plain, chat("user: hi", "assistant: hello"), TrainingFormat())

    def test_a_template_that_rewrites_earlier_turns_is_refused(self, tokenizer: PreTrainedTokenizerFast) -> None:
        """Some templates drop what the assistant thought in earlier turns: no prefix of the text was ever trained."""
        fickle = PreTrainedTokenizerFast(tokenizer_object=tokenizer.backend_tokenizer)
        fickle.chat_template = "{% for message in messages %}{{ message.content if loop.last else '...' }}{% endfor %}"
        with pytest.raises(EngineRefusal, match="rewrites earlier turns"):
            encode(fickle, chat("user: hi", "assistant: hello", "user: bye"), TrainingFormat())

    @pytest.mark.parametrize(
        "template",
        [
            zoo.JINJA,
            "{{ ''.__class__.__mro__[1].__subclasses__() }}",
            "{% for message in messages %}{{ messages.append(message) }}{% endfor %}",
            "{{ raise_exception('no') }}",
            "{{ messages | nothing_like_that }}",
            "{% if %}",
        ],
    )
    def test_a_template_that_breaks_out_is_refused(self, tokenizer: PreTrainedTokenizerFast, template: str) -> None:
        hostile = copy.deepcopy(tokenizer)
        hostile.chat_template = template
        with pytest.raises(EngineRefusal) as refused:
            encode(hostile, chat("user: hi", "assistant: hello"), TrainingFormat())
        assert refused.value.code == "chat-template"
        assert not Path(zoo.PWNED).exists()


def test_a_batch_is_padded_on_the_right_and_padding_carries_no_loss() -> None:
    batch = collate([Tokens((5, 6, 7), (-100, 6, 7)), Tokens((8, 9), (-100, 9))], pad_id=0)
    assert batch.input_ids.tolist() == [[5, 6, 7], [8, 9, 0]]
    assert batch.attention_mask.tolist() == [[1, 1, 1], [1, 1, 0]]
    assert batch.labels.tolist() == [[-100, 6, 7], [-100, 9, -100]]


def test_message_is_part_of_the_contract() -> None:
    assert chat("assistant: x").messages == (Message(role="assistant", content="x"),)


@pytest.fixture
def demo_like_tokenizer() -> PreTrainedTokenizerFast:
    """One merge, `ab`, so that joining can be seen."""
    from tokenizers import Tokenizer, models

    merging = Tokenizer(models.BPE(vocab={"a": 0, "b": 1, "ab": 2}, merges=[("a", "b")]))
    return PreTrainedTokenizerFast(tokenizer_object=merging)
