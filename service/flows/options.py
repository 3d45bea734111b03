"""Which decisions a request allows in its present state, for those who are offered them. Who decides checks again."""

from service.domain.states import TERMINAL_REQUEST_STATES, RequestState, TargetState
from service.flows.accept import measured_failure
from service.flows.decide import can_be_canceled, is_baked
from service.store.database import Unit
from service.store.tables import Target, UnlearningRequest


def options(unit: Unit, request: UnlearningRequest) -> frozenset[str]:
    """The verbs of `decide` and `accept` that would not be refused because of the state."""
    targets = unit.targets.of_request(request.id)
    stuck = [target for target in targets if target.state is TargetState.needs_attention]
    is_stuck, is_open = request.state is RequestState.needs_attention, request.state not in TERMINAL_REQUEST_STATES
    allowed = {
        "approve": request.state is RequestState.awaiting_approval,
        "reject": request.state is RequestState.awaiting_approval,
        "cancel": bool(targets) and all(map(can_be_canceled, targets)),
        "hold": is_open and not request.on_hold,
        "release": request.on_hold,
        "extend": is_open and request.extended_at is None and unit.now < request.due_at,
        "retry": is_stuck and any(not is_baked(unit, target) for target in stuck),
        "accept": is_stuck and any(_can_be_accepted(unit, target) for target in stuck),
    }
    return frozenset(verb for verb, is_allowed in allowed.items() if is_allowed)


def _can_be_accepted(unit: Unit, target: Target) -> bool:
    return target.version_id is not None or measured_failure(unit, target) is not None
