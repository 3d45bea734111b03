"""The state machines, as tables."""

import itertools

import pytest

from service.domain.errors import IllegalTransition
from service.domain.states import (
    TARGET_TRANSITIONS,
    TERMINAL_REQUEST_STATES,
    Outcome,
    RequestState,
    TargetState,
    check_target_transition,
    request_outcome,
    request_state,
)

T = TargetState


@pytest.mark.parametrize(("current", "to"), list(itertools.product(TargetState, TargetState)))
def test_exactly_the_listed_transitions_are_legal(current: TargetState, to: TargetState) -> None:
    if to in TARGET_TRANSITIONS[current]:
        check_target_transition(current, to)
    else:
        with pytest.raises(IllegalTransition):
            check_target_transition(current, to)


def test_every_state_can_end_and_final_states_stay() -> None:
    for state in TargetState:
        reachable, frontier = {state}, [state]
        while frontier:
            for following in TARGET_TRANSITIONS[frontier.pop()] - reachable:
                reachable.add(following)
                frontier.append(following)
        assert any(not TARGET_TRANSITIONS[end] for end in reachable)


@pytest.mark.parametrize(
    ("targets", "state"),
    [
        ([T.queued], RequestState.queued),
        ([T.succeeded, T.queued], RequestState.queued),
        ([T.succeeded, T.awaiting_rebuild], RequestState.awaiting_rebuild),
        ([T.running, T.needs_attention], RequestState.needs_attention),
        ([T.awaiting_approval, T.queued], RequestState.awaiting_approval),
        ([T.succeeded, T.rejected], RequestState.succeeded),
        ([T.canceled, T.canceled], RequestState.canceled),
        ([T.failed, T.succeeded], RequestState.failed),
    ],
)
def test_the_least_advanced_target_speaks_for_the_request(targets: list[TargetState], state: RequestState) -> None:
    assert request_state(targets) is state
    assert request_state(reversed(targets)) is state


def test_a_request_is_terminal_only_if_all_its_targets_are() -> None:
    for pair in itertools.product(TargetState, repeat=2):
        if request_state(pair) in TERMINAL_REQUEST_STATES:
            assert all(not TARGET_TRANSITIONS[state] for state in pair)


def test_an_outcome_is_partial_if_a_line_was_not_served() -> None:
    assert request_outcome([T.succeeded, T.succeeded]) is Outcome.done
    assert request_outcome([T.succeeded, T.rejected]) is Outcome.partial
