"""A small Llama that knows the language of the demo's world but nobody in it.

Trained once from random weights on people who appear nowhere else, until it knows them by heart: only
then has it learnt to look facts up by name, without which an adapter learns them very slowly. Kept as
an ordinary Hugging Face directory. The directory's name is a digest of the world and the settings below, so that a
change of either trains anew.
"""

import hashlib
import tempfile
from pathlib import Path
from typing import Any

import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from workers.demo.world import World

VOCABULARY = 600
STEPS = 700
BATCH = 32
LEARNING_RATE = 4e-3
SEED = 0
ARCHITECTURE: dict[str, Any] = {
    "hidden_size": 160,
    "intermediate_size": 480,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "max_position_embeddings": 256,
    "tie_word_embeddings": True,
}
# A chat reads like the world's questions and answers, so both forms of an instance are the same text.
CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{% if message.role == 'assistant' %}Answer: {{ message.content }}{{ eos_token }}"
    "{% elif message.role == 'user' %}Question: {{ message.content }}\n"
    "{% else %}{{ message.content }}\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}Answer:{% endif %}"
)


def ensure_base_model(world: World, cache: Path) -> Path:
    """The base model's directory below `cache`; trains it on the first call, with a progress bar."""
    return base_model_of(list(world.pretraining_texts()), cache)


def base_model_of(texts: list[str], cache: Path, vocabulary: int = VOCABULARY) -> Path:
    """The same for any texts; freer prose than the demo's takes a larger vocabulary to stay short."""
    path = cache / f"base-{_digest(texts, vocabulary)}"
    if (path / "config.json").is_file():
        return path
    cache.mkdir(parents=True, exist_ok=True)
    tokenizer = _train_tokenizer(texts, vocabulary)
    model = _train_model(tokenizer, texts)
    # Written aside and moved into place at once: an interrupted training leaves nothing that looks finished.
    staging = Path(tempfile.mkdtemp(dir=cache))
    model.save_pretrained(staging)
    tokenizer.save_pretrained(staging)
    staging.chmod(0o755)
    return staging.rename(path)


def _digest(texts: list[str], vocabulary: int) -> str:
    settings = (vocabulary, STEPS, BATCH, LEARNING_RATE, SEED, sorted(ARCHITECTURE.items()), CHAT_TEMPLATE)
    return hashlib.sha256("\0".join([repr(settings), *texts]).encode()).hexdigest()[:12]


def _train_tokenizer(texts: list[str], vocabulary: int) -> PreTrainedTokenizerFast:
    """Byte-level BPE: every string has a tokenisation."""
    bytewise = Tokenizer(models.BPE())
    bytewise.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bytewise.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=["<pad>", "<s>", "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bytewise.train_from_iterator(texts, trainer)
    tokenizer: PreTrainedTokenizerFast = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=bytewise,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        clean_up_tokenization_spaces=False,
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


def _train_model(tokenizer: PreTrainedTokenizerFast, texts: list[str]) -> LlamaForCausalLM:
    torch.manual_seed(SEED)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        **ARCHITECTURE,
    )
    model = LlamaForCausalLM(config)
    ids, mask = _tensors(tokenizer, texts)
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=STEPS)
    with _progress_bar() as bar:
        task = bar.add_task("Training the base model (once)", total=STEPS, loss=float("nan"))
        for _ in range(STEPS):
            chosen = torch.randint(0, len(ids), (BATCH,))
            length = int(mask[chosen].sum(1).max())
            batch, present = ids[chosen, :length], mask[chosen, :length]
            labels = batch.masked_fill(present == 0, -100)
            loss = model(input_ids=batch, attention_mask=present, labels=labels).loss
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            bar.update(task, advance=1, loss=loss.item())
    return model


def _tensors(tokenizer: PreTrainedTokenizerFast, texts: list[str]) -> tuple[Tensor, Tensor]:
    """Ids and mask [n, T] of all texts, each ended by EOS and padded on the right."""
    coded = tokenizer([text + str(tokenizer.eos_token) for text in texts], padding=True, return_tensors="pt")
    return coded["input_ids"], coded["attention_mask"]


def _progress_bar() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("loss {task.fields[loss]:.2f}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
