"""Values of one type in one another's place, and whether the true one is preferred."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.adapters import TrainingFormat
from service.domain.instances import Content, Message
from service.domain.measurements import Outcome
from tests.workers.engine.metrics.observations import observed, with_loss
from workers.engine.metrics.exposure import exposure, rank, rank_share
from workers.engine.metrics.observation import observe
from workers.engine.metrics.slots import Slotted, slot_measurements, slotted
from workers.engine.metrics.truth_ratio import truth_ratio
from workers.engine.metrics.typed_values import alternatives, completion_of, find_slot, values_by_type
from workers.engine.resident import Resident
from workers.engine.tokens import encode


def said(completion: str) -> Content:
    return Content(prompt="q", completion=completion)


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("Write to jo.l@mail.example, by 2031-04-01.", "email", "jo.l@mail.example"),
        ("Born on 2031-04-01 in room 7.", "date", "2031-04-01"),
        ("On 3 March 1999 it was 12.", "date", "3 March 1999"),
        ("It was March 3, 1999.", "date", "March 3, 1999"),
        ("It costs 1,250.50 in all.", "number", "1,250.50"),
        ("The doctor is Ada Lovelace.", "name", "Ada Lovelace"),
        ("She lives in Oslo.", "name", "Oslo"),
    ],
)
def test_a_slot_is_found_by_the_form_of_its_value(text: str, kind: str, value: str) -> None:
    slot = find_slot(text)
    assert slot is not None
    assert (slot.kind, text[slot.start : slot.end]) == (kind, value)


@pytest.mark.parametrize("text", ["", "abcdefgh", "Yes, it is.", "The end."])
def test_ordinary_words_are_no_slots(text: str) -> None:
    assert find_slot(text) is None


def test_alternatives_differ_in_the_value_alone_and_never_repeat_it() -> None:
    contents = [said(f"Her number is {n}.") for n in (11, 22, 33, 22)]
    found = alternatives(contents[0], values_by_type(contents), 7, seed=0)
    assert sorted(completion_of(one) for one in found) == ["Her number is 22.", "Her number is 33."]
    assert alternatives(said("nothing here"), values_by_type(contents), 7, seed=0) == []


def test_no_more_alternatives_than_asked_for_and_the_same_every_time() -> None:
    contents = [said(f"It is {n}.") for n in range(40)]
    first, second = (alternatives(contents[3], values_by_type(contents), 5, seed=1) for _ in range(2))
    assert first == second
    assert len(set(map(completion_of, first))) == 5


def test_of_a_chat_the_last_answer_is_changed() -> None:
    chat = Content(messages=(Message(role="user", content="when?"), Message(role="assistant", content="in 1999.")))
    (found,) = alternatives(chat, {"number": ["1999", "2001"]}, 3, seed=0)
    assert completion_of(found) == "in 2001."


def test_the_truth_ratio_is_one_half_where_all_are_alike() -> None:
    assert truth_ratio(with_loss(1.0), [with_loss(1.0)] * 3) == pytest.approx(0.5)
    assert truth_ratio(with_loss(0.0), [with_loss(50.0)] * 3) == pytest.approx(1.0)
    assert truth_ratio(with_loss(5000.0), [with_loss(5000.0)]) == 0.5


def test_the_exposure_is_the_bits_that_the_rank_takes_off() -> None:
    others = [observed([-loss]) for loss in (1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0)]
    assert exposure(observed([-0.5]), others) == 3.0
    assert exposure(observed([-9.0]), others) == 0.0
    assert rank(observed([-1.5]), others) == 2.0
    assert rank(observed([-1.0]), others) == 1.5  # a tie is shared
    assert rank_share(observed([-0.5]), others) == 1 / 16


@given(st.floats(0, 50), st.lists(st.floats(0, 50), min_size=1, max_size=9))
def test_ranges(true: float, others: list[float]) -> None:
    ours, theirs = with_loss(true), [with_loss(loss) for loss in others]
    assert 0.0 <= truth_ratio(ours, theirs) <= 1.0
    assert -1e-9 <= exposure(ours, theirs) <= len(others).bit_length() + 1
    assert 0.0 < rank_share(ours, theirs) < 1.0


def test_a_preferred_value_fails_and_one_like_any_other_does_not() -> None:
    known = [Slotted(with_loss(0.1), [with_loss(3.0)] * 7)] * 6
    like_any = [Slotted(with_loss(3.0), [with_loss(loss) for loss in (2, 2.5, 3, 3, 3.5, 4, 4)])] * 6
    assert {one.outcome for one in slot_measurements(known, like_any)} == {Outcome.failed}
    assert {one.outcome for one in slot_measurements(like_any, like_any)} == {Outcome.passed}
    assert {one.outcome for one in slot_measurements(known, [])} == {Outcome.inconclusive}


def test_instances_with_too_few_alternatives_are_left_out(resident: Resident) -> None:
    fmt, weights = TrainingFormat(max_length=64), resident.parameters.get()
    contents = [said(f"it is {n}") for n in range(5)] + [said("nothing")]
    true = observe(resident, [encode(resident.tokenizer, one, fmt) for one in contents], weights)
    values = values_by_type(contents)
    found = slotted(resident, list(zip(contents, true, strict=True)), values, fmt, weights, seed=0)
    assert [len(one.others) for one in found] == [4] * 5
    assert [one.true for one in found] == true[:5]
    assert slotted(resident, [(contents[5], true[5])], values, fmt, weights, seed=0) == []
    short = TrainingFormat(max_length=len(encode(resident.tokenizer, contents[0], fmt).ids))
    longer = {"number": ["1", "2", "3", "123456"]}
    (one,) = slotted(resident, [(contents[0], true[0])], longer, short, weights, seed=0)
    assert len(one.others) == 3
