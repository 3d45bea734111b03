"""One test for each fault that was found in open-unlearning's metrics: none of them is ours."""

import inspect

import pytest
import torch

from tests.workers.engine.metrics.observations import observed
from tests.workers.engine.small_data import INSTANCES
from workers.engine.losses import label_logits
from workers.engine.metrics.exact_memorisation import EXACT_MEMORISATION
from workers.engine.metrics.extraction_strength import EXTRACTION_STRENGTH
from workers.engine.metrics.observation import observe, observe_both
from workers.engine.metrics.oracle import priv_leak
from workers.engine.metrics.registry import METRICS
from workers.engine.metrics.zlib_ratio import ZLIB
from workers.engine.predictions import predictions
from workers.engine.resident import Resident
from workers.engine.tokens import NO_LOSS, collate


@pytest.fixture(autouse=True)
def _no_text(monkeypatch: pytest.MonkeyPatch) -> None:
    """The small Llama's five tokens are none of the tokenizer's beside it."""
    monkeypatch.setattr("workers.engine.metrics.observation.compressed_size", lambda *_: 9)


@pytest.mark.parametrize("length", [1, 2, 7])
def test_1_extraction_strength_has_no_floor_of_one_token(length: int) -> None:
    wrong_at_the_end = observed([-1.0] * length, [True] * (length - 1) + [False])
    assert EXTRACTION_STRENGTH.score(wrong_at_the_end) == 0.0


def test_2_the_divergence_leaves_padding_and_prompt_out(small: Resident) -> None:
    start = small.parameters.get()
    end = 0.3 * start
    alone = [observe_both(small, [one], start, end).divergences[0] for one in INSTANCES]
    assert observe_both(small, INSTANCES, start, end).divergences == pytest.approx(alone, rel=1e-3)
    batch = collate(INSTANCES[:1], small.pad_id)
    was, now = predictions(small, batch, start), predictions(small, batch, end)
    assert alone[0] == pytest.approx(float((was.exp() * (was - now)).sum()), rel=1e-3)


def test_3_a_label_without_a_loss_is_no_index_into_the_vocabulary(small: Resident) -> None:
    batch = collate(INSTANCES, small.pad_id)
    logits, _ = label_logits(small.model, batch)
    assert len(logits) == int((batch.labels != NO_LOSS).sum())
    found = observe(small, INSTANCES, small.parameters.get())
    assert [len(one.logprobs) for one in found] == [one.label_count for one in INSTANCES]


def test_4_no_oracle_is_no_oracle_at_chance() -> None:
    wanted = inspect.signature(priv_leak).parameters.values()
    assert all(one.default is inspect.Parameter.empty for one in wanted)
    assert priv_leak(*(torch.tensor([value]) for value in (1.0, 2.0, 1.0, 2.0))) is None


def test_5_a_score_stays_with_its_instance_whatever_else_is_measured(small: Resident) -> None:
    whole = observe(small, INSTANCES, small.parameters.get())
    some = observe(small, [INSTANCES[2], INSTANCES[0]], small.parameters.get())
    assert [one.nll for one in some] == pytest.approx([whole[2].nll, whole[0].nll], rel=1e-5)


@pytest.mark.parametrize("name", ["loss", "exact_memorisation", "extraction_strength", "probability"])
def test_6_the_last_label_token_counts(small: Resident, name: str) -> None:
    (found,) = observe(small, INSTANCES[1:2], small.parameters.get())
    assert len(found.logprobs) == INSTANCES[1].label_count
    right, wrong = (observed([-1.0, last], [True, said]) for last, said in ((-0.1, True), (-9.0, False)))
    assert METRICS[name].score(right) != METRICS[name].score(wrong)


def test_6_an_instance_of_one_label_token_is_measured() -> None:
    assert EXACT_MEMORISATION.score(observed([-0.1], [True])) == 1.0


def test_7_a_norm_of_all_parameters_is_not_the_mean_of_their_norms(small: Resident) -> None:
    """No metric is a gradient's norm; where the engine takes one, the gradients are one vector."""
    assert small.parameters.gradient().shape == (small.parameters.size,)
    assert not any("grad" in name for name in METRICS)


def test_8_the_zlib_score_does_not_fall_with_length_alone() -> None:
    """A text twice as long, of the same loss a token, compressed to twice the size."""
    short, long = observed([-2.0] * 10, compressed=40), observed([-2.0] * 20, compressed=80)
    assert ZLIB.score(long) == pytest.approx(ZLIB.score(short))
