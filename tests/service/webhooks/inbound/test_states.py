"""Our states in other protocols' words: every one has some, they are real words, and the published table is true."""

from pathlib import Path

import pytest

from service.domain.decisions import RejectionCode
from service.domain.states import TERMINAL_REQUEST_STATES, Outcome, RequestState
from service.webhooks.inbound.states import FOREIGN, foreign_state, states_table

README = Path(__file__).parents[4] / "service" / "webhooks" / "README.md"
OPENDSR = {"pending", "in_progress", "completed", "cancelled"}
DENIED = {
    "suspected_fraud", "insuf_verification", "no_match", "claim_not_covered", "outside_jurisdiction",
    "too_many_requests", "other",
}  # fmt: skip
DRP = {"open", "in_progress", "fulfilled", "revoked", *(f"denied/{reason}" for reason in DENIED)}
FIDES = {"pending", "approved", "paused", "in_processing", "complete", "error", "denied", "canceled"}


@pytest.mark.parametrize("state", RequestState)
@pytest.mark.parametrize("on_hold", [False, True])
def test_every_state_has_a_word_in_every_protocol(state: RequestState, on_hold: bool) -> None:
    for outcome in Outcome if state is RequestState.succeeded else (None,):
        foreign = foreign_state(state, outcome, None, on_hold=on_hold)
        assert foreign.opendsr in OPENDSR
        assert foreign.drp in DRP
        assert foreign.fides in FIDES


def test_every_reason_of_a_rejection_has_one_and_none_of_the_protocol_s_is_left_out() -> None:
    told = {code: foreign_state(RequestState.rejected, None, code, on_hold=False) for code in RejectionCode}
    assert {foreign.drp for foreign in told.values()} == {f"denied/{reason}" for reason in DENIED}
    assert {(foreign.opendsr, foreign.fides) for foreign in told.values()} == {("cancelled", "denied")}
    assert told[RejectionCode.insufficient_verification].drp == "denied/insuf_verification"


def test_no_open_request_is_told_to_be_final() -> None:
    for (state, _), foreign in FOREIGN.items():
        if state not in TERMINAL_REQUEST_STATES:
            assert foreign.opendsr in {"pending", "in_progress"}
            assert foreign.drp in {"open", "in_progress"}
            assert foreign.fides not in {"complete", "denied", "canceled"}


def test_the_published_table_is_that_of_the_code() -> None:
    published = README.read_text().partition("<!-- states:begin -->\n")[2].partition("\n<!-- states:end -->")[0]
    assert published == states_table()
