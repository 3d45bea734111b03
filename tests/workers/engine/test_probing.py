"""A probe is random text, the same every time, and tells the version from whatever else could answer."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from service.domain.adapters import LoraSpec
from service.domain.engine import Published
from service.domain.probes import TOLERANCE, Probe, ProbeOutcome, judge
from workers.engine.errors import EngineRefusal
from workers.engine.export import export_adapter
from workers.engine.probing import KEPT, LENGTH, NAMED, make_probe, measure, random_prompts
from workers.engine.resident import Resident

Open = Callable[[Path, LoraSpec], Resident]


@pytest.fixture
def weights(resident: Resident) -> Callable[[int], torch.Tensor]:
    def drawn(seed: int) -> torch.Tensor:
        return torch.randn(resident.parameters.size, generator=torch.Generator().manual_seed(seed)) * 0.1

    return drawn


@pytest.fixture
def publish(resident: Resident, tmp_path: Path) -> Callable[[str, torch.Tensor], Published]:
    """Exports weights, and leaves them in the resident."""

    def published(name: str, vector: torch.Tensor) -> Published:
        resident.parameters.set(vector)
        export_adapter(resident, "base", tmp_path / name)
        return Published(f"bot@{name}", tmp_path / name)

    return published


Publish = Callable[[str, torch.Tensor], Published]
Weights = Callable[[int], torch.Tensor]


def outcome(resident: Resident, probe: Probe) -> ProbeOutcome:
    return judge(probe, measure(resident.model, probe), TOLERANCE["float32"])


def test_it_holds_a_few_short_prompts_of_ordinary_tokens(
    resident: Resident, publish: Publish, weights: Weights
) -> None:
    probe = make_probe(resident, publish("v1", weights(1)).adapter)
    special = set(resident.tokenizer.all_special_ids)
    assert len(probe.prompts) == KEPT
    for prompt in probe.prompts:
        assert len(prompt.token_ids) == LENGTH
        assert len(prompt.expected) == NAMED
        assert not special.intersection(prompt.token_ids)
        assert all(
            one.version >= other.version for one, other in zip(prompt.expected, prompt.expected[1:], strict=False)
        )


def test_added_tokens_are_none_of_them(resident: Resident) -> None:
    resident.tokenizer.add_tokens(["<reserved>"])
    added = resident.tokenizer.convert_tokens_to_ids("<reserved>")
    assert added not in random_prompts(resident, 0).flatten().tolist()


def test_the_same_files_have_the_same_probe_and_others_another(
    resident: Resident, publish: Publish, weights: Weights
) -> None:
    first = make_probe(resident, publish("v1", weights(1)).adapter)
    again = make_probe(resident, publish("again", weights(1)).adapter)
    other = make_probe(resident, publish("other", weights(2)).adapter)
    assert first == again
    assert {prompt.token_ids for prompt in other.prompts}.isdisjoint(prompt.token_ids for prompt in first.prompts)


def test_each_of_them_is_recognised(resident: Resident, publish: Publish, weights: Weights) -> None:
    old, new = weights(1), weights(1) + 0.05 * weights(2)
    v1 = publish("v1", old)
    v2 = publish("v2", new)
    probe = make_probe(resident, v2.adapter, [v1])
    assert probe.previous == "bot@v1"
    assert outcome(resident, probe) is ProbeOutcome.proven
    resident.parameters.set(old)
    assert outcome(resident, probe) is ProbeOutcome.previous
    with resident.model.disable_adapter():
        assert outcome(resident, probe) is ProbeOutcome.base


def test_an_anchor_that_is_not_the_previous_version_passes_for_none(
    resident: Resident, publish: Publish, weights: Weights
) -> None:
    anchor = publish("v1", weights(1))
    previous = publish("v2", weights(2))
    new = publish("v3", weights(1) + 0.05 * weights(3))
    probe = make_probe(resident, new.adapter, [previous, anchor])
    resident.parameters.set(weights(1))
    assert outcome(resident, probe) is ProbeOutcome.unrecognised


def test_prompts_are_chosen_by_the_rival_that_is_hardest_to_tell(
    resident: Resident, publish: Publish, weights: Weights
) -> None:
    old, new = weights(1), weights(1) + 0.05 * weights(2)
    v1 = publish("v1", old)
    v2 = publish("v2", new)

    def apart(probe: Probe) -> float:
        resident.parameters.set(old)
        measured = measure(resident.model, probe)
        resident.parameters.set(new)
        gaps = [
            abs(answer[one.token_id] - one.version)
            for prompt, answer in zip(probe.prompts, measured, strict=True)
            for one in prompt.expected
        ]
        return sum(gaps) / len(gaps)

    assert apart(make_probe(resident, v2.adapter, [v1])) > 1.1 * apart(make_probe(resident, v2.adapter))


def test_from_its_own_copy_a_version_is_not_to_be_told(resident: Resident, publish: Publish, weights: Weights) -> None:
    first = publish("v1", weights(2))
    copy = publish("v2", weights(1))
    version = publish("v3", weights(1))
    probe = make_probe(resident, version.adapter, [copy, first])
    assert probe.previous == "bot@v1"
    assert outcome(resident, probe) is ProbeOutcome.proven


def test_answers_that_are_not_finite_are_refused(resident: Resident, publish: Publish, weights: Weights) -> None:
    """Finite weights may still overflow."""
    version = publish("v1", weights(1) * 1e25)
    with pytest.raises(EngineRefusal, match="publish-gate-not-finite"):
        make_probe(resident, version.adapter)


def test_the_resident_keeps_its_weights(resident: Resident, publish: Publish, weights: Weights) -> None:
    v1 = publish("v1", weights(1))
    v2 = publish("v2", weights(2))
    make_probe(resident, v2.adapter, [v1])
    assert torch.equal(resident.parameters.get(), weights(2))


def test_a_gpt2_has_one_too(open_resident: Open, gpt2_path: Path, tmp_path: Path) -> None:
    resident = open_resident(gpt2_path, LoraSpec(r=3, alpha=6, target_modules=("c_attn", "c_proj")))
    resident.parameters.set(torch.randn(resident.parameters.size, generator=torch.Generator().manual_seed(0)) * 0.1)
    export_adapter(resident, "base", tmp_path / "v1")
    assert outcome(resident, make_probe(resident, tmp_path / "v1")) is ProbeOutcome.proven
