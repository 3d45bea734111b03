"""Our states in other protocols' words: every one has some, they are real words, and the published table is true."""

from pathlib import Path

import pytest

from service.domain.states import TERMINAL_REQUEST_STATES, Outcome, RequestState
from service.webhooks.inbound.states import FOREIGN, foreign_state, states_table

README = Path(__file__).parents[4] / "service" / "webhooks" / "README.md"
OPENDSR = {"pending", "in_progress", "completed", "cancelled"}
DRP = {"open", "in_progress", "fulfilled", "revoked", "denied/no_match", "denied/other"}
FIDES = {"pending", "approved", "paused", "in_processing", "complete", "error", "denied", "canceled"}


@pytest.mark.parametrize("state", RequestState)
@pytest.mark.parametrize("on_hold", [False, True])
def test_every_state_has_a_word_in_every_protocol(state: RequestState, on_hold: bool) -> None:
    for outcome in Outcome if state is RequestState.succeeded else (None,):
        foreign = foreign_state(state, outcome, on_hold=on_hold)
        assert foreign.opendsr in OPENDSR
        assert foreign.drp in DRP
        assert foreign.fides in FIDES


def test_no_open_request_is_told_to_be_final() -> None:
    for (state, _), foreign in FOREIGN.items():
        if state not in TERMINAL_REQUEST_STATES:
            assert foreign.opendsr in {"pending", "in_progress"}
            assert foreign.drp in {"open", "in_progress"}
            assert foreign.fides not in {"complete", "denied", "canceled"}


def test_the_published_table_is_that_of_the_code() -> None:
    published = README.read_text().partition("<!-- states:begin -->\n")[2].partition("\n<!-- states:end -->")[0]
    assert published == states_table()
