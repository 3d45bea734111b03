"""Deliveries at the desk: what came of them, and sending them again."""

import pytest

from service.domain.webhooks import DeliveryState
from service.flows.webhook_endpoints import change_endpoint
from tests.service.api.desk.conftest import Furnished
from tests.support.api import Api
from tests.support.desk import visitor
from tests.support.desk_world import furnish


@pytest.fixture
def own(api: Api) -> Furnished:
    return Furnished(api, furnish(api))


def state_of(own: Furnished) -> DeliveryState:
    with own.api.store.read() as unit:
        delivery = unit.webhooks.delivery(own.world.hook, own.world.delivery)
        assert delivery is not None
        return delivery.state


def test_states_attempts_and_answers(furnished: Furnished) -> None:
    page = visitor(furnished.api).page(f"/desk/webhooks/{furnished.world.hook}")
    (pending,) = [row.text for row in page.all("tr") if "Pending" in row.text]
    assert "503" in pending
    assert "Delivered" in page.text
    assert "request.created" in page.text


def test_filtered_by_state(furnished: Furnished) -> None:
    page = visitor(furnished.api).page(f"/desk/webhooks/{furnished.world.hook}?state=pending")
    assert len([row for row in page.all("tr") if "tbody" in row.inside]) == 1
    assert (
        "No delivery is in this state"
        in visitor(furnished.api).page(f"/desk/webhooks/{furnished.world.hook}?state=canceled").text
    )


def test_sending_again(own: Furnished) -> None:
    somebody, place = visitor(own.api), f"/desk/webhooks/{own.world.hook}"
    with own.api.store.write() as unit:
        delivery = unit.webhooks.delivery(own.world.hook, own.world.delivery)
        assert delivery is not None
        delivery.state, delivery.finished_at = DeliveryState.failed, unit.now
    response = somebody.post(f"{place}/deliveries/{own.world.delivery}/resend")
    assert response.headers["location"] == f"{place}?done=resent"
    assert "queued again" in somebody.page(response.headers["location"]).text
    assert state_of(own) is DeliveryState.pending


def test_an_endpoint_that_is_switched_off_is_told_on_the_page(own: Furnished) -> None:
    with own.api.store.write() as unit:
        change_endpoint(unit, own.world.hook, {"enabled": False}, actor="test")
    response = visitor(own.api).post(f"/desk/webhooks/{own.world.hook}/deliveries/{own.world.delivery}/resend")
    assert response.status_code == 409
    assert 'role="alert"' in response.text
    assert "Off: requested" in response.text


def test_a_delivery_that_there_is_not(own: Furnished) -> None:
    assert visitor(own.api).post(f"/desk/webhooks/{own.world.hook}/deliveries/whd_0/resend").status_code == 404
