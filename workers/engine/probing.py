"""Making a version's probe: random prompts, and of them those that tell it best from what it could be taken for."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from service.domain.engine import Published
from service.domain.probes import Expected, Measured, Probe, ProbePrompt
from workers.engine.adapter_files import CONFIG, WEIGHTS
from workers.engine.beside import beside
from workers.engine.errors import EngineRefusal
from workers.engine.resident import Resident

# A prompt shorter than a server's cache block (16 tokens or more) is never answered from an old block.
CANDIDATES, KEPT, LENGTH = 64, 16, 8
# Servers name at least five tokens.
NAMED = 5
# Decimals of the log-probabilities that are kept.
DECIMALS = 6


def make_probe(resident: Resident, directory: Path, replaces: Sequence[Published] = ()) -> Probe:
    """The probe of the version in `resident`, which was exported into `directory`; always the same for the same files.

    Its prompts are those that tell the version best from the bare base and from all that it `replaces`, newest first.
    Versions with the very same files are none to be told from.

    Costs a forward pass of 512 tokens for the version, and one for each of the others.

    Raises:
        EngineRefusal: `publish-gate-not-finite` if an answer is not finite.
    """
    own = _digest(directory)
    prompts = random_prompts(resident, seed=int(own[:15], 16))
    version, tokens = next_logprobs(resident.model, prompts).topk(NAMED)

    def answers() -> Tensor:
        return next_logprobs(resident.model, prompts).gather(-1, tokens)

    with resident.model.disable_adapter():
        rivals = [answers()]
    others = [one for one in replaces if _digest(one.adapter) != own]
    for other in others:
        with beside(resident, other.adapter):
            rivals.append(answers())
    chosen = _most_telling(version, rivals)
    return Probe(
        previous=others[0].name if others else None,
        prompts=tuple(
            ProbePrompt(
                token_ids=tuple(prompts[row].tolist()),
                expected=_expected(tokens[row], version[row], *(answers[row] for answers in rivals[:2])),
            )
            for row in chosen
        ),
    )


def random_prompts(resident: Resident, seed: int) -> Tensor:
    """Token ids [CANDIDATES, LENGTH] of the ordinary vocabulary, on the CPU: no special or added tokens."""
    tokenizer = resident.tokenizer
    size = resident.base.model.config.get_text_config().vocab_size
    special = {*tokenizer.all_special_ids, *tokenizer.added_tokens_decoder}
    ordinary = sorted({index for index in tokenizer.get_vocab().values() if index < size} - special)
    generator = torch.Generator().manual_seed(seed)
    return torch.tensor(ordinary)[torch.randint(len(ordinary), (CANDIDATES, LENGTH), generator=generator)]


@torch.no_grad()
def next_logprobs(model: nn.Module, prompts: Tensor) -> Tensor:
    """Log-probabilities [n, V] of the token after each prompt [n, T], fp32 on the CPU.

    As many prompts at a time as a probe has, so that the same answers come from the same kernels.
    """
    device = next(model.parameters()).device
    parts = []
    for start in range(0, len(prompts), KEPT):
        logits: Tensor = model(input_ids=prompts[start : start + KEPT].to(device), use_cache=False).logits
        parts.append(logits[:, -1].float().log_softmax(-1).cpu())
    return torch.cat(parts)


def measure(model: nn.Module, probe: Probe) -> Measured:
    """A model's log-probabilities of the tokens that a probe asks for."""
    found = next_logprobs(model, torch.tensor([prompt.token_ids for prompt in probe.prompts]))
    return [
        {expected.token_id: float(row[expected.token_id]) for expected in prompt.expected}
        for prompt, row in zip(probe.prompts, found, strict=True)
    ]


def _most_telling(version: Tensor, rivals: Sequence[Tensor]) -> list[int]:
    """The prompts on which even the nearest rival's log-probabilities [n, NAMED] are far from the version's."""
    nearest = torch.stack([(version - rival).abs().mean(-1) for rival in rivals]).amin(0)
    if not bool(nearest.isfinite().all()):
        raise EngineRefusal("publish-gate-not-finite", "The version's answers to some prompts are not finite.")
    return nearest.sort(descending=True, stable=True).indices[:KEPT].tolist()


def _expected(tokens: Tensor, version: Tensor, base: Tensor, previous: Tensor | None = None) -> tuple[Expected, ...]:
    return tuple(
        Expected(
            token_id=int(token),
            version=round(float(version[place]), DECIMALS),
            base=round(float(base[place]), DECIMALS),
            previous=None if previous is None else round(float(previous[place]), DECIMALS),
        )
        for place, token in enumerate(tokens)
    )


def _digest(adapter: Path) -> str:
    """SHA-256, hex, over the two files of an adapter directory."""
    sha = hashlib.sha256()
    for name in (CONFIG, WEIGHTS):
        with (adapter / name).open("rb") as file:
            sha.update(hashlib.file_digest(file, "sha256").digest())
    return sha.hexdigest()
