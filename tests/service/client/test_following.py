"""Waiting ends when something has come of it, however the news arrive; progress is told on the way."""

import asyncio
from itertools import islice

import pytest

from service.client import AsyncLethe, Lethe, remove, unlearning
from service.client.answers.requests import Request
from tests.support.house import House, people
from tests.support.live_service import Service, working

pytestmark = pytest.mark.slow

ASKED = unlearning(remove(subject="Person 3"))


def test_a_request_is_waited_for_with_progress(house: House, lethe: Lethe) -> None:
    shown: list[tuple[str, float]] = []
    with working(house, [house.line("support-bot", people(10))], heard=lambda: bool(shown)):
        filed = lethe.create_request(ASKED)
        done = lethe.wait_for_request(filed, lambda stage, share: shown.append((stage, share)))
    assert (done.state, done.targets[0].version) == ("succeeded", "v2")
    assert ("solving", 0.5) in shown
    assert lethe.wait_for_request(done.id) == done, "what is over is not waited for"


def test_the_same_without_blocking(house: House, service: Service) -> None:
    shown: list[tuple[str, float]] = []

    async def ask() -> Request:
        async with AsyncLethe(service.url, service.key) as lethe:
            filed = await lethe.create_request(ASKED)
            return await lethe.wait_for_request(filed.id, lambda stage, share: shown.append((stage, share)))

    with working(house, [house.line("support-bot", people(10))], heard=lambda: bool(shown)):
        assert asyncio.run(ask()).state == "succeeded"
    assert ("solving", 0.5) in shown


def test_what_waits_for_people_is_not_waited_for(house: House, lethe: Lethe) -> None:
    house.line("support-bot", people(10), require_approval=True)
    filed = lethe.create_request(ASKED)
    assert lethe.wait_for_request(filed).state == "awaiting_approval"


def test_a_run_and_the_version_it_makes(house: House, lethe: Lethe) -> None:
    with working(house, [house.line("support-bot", people(10))]):
        filed = lethe.create_request(ASKED)
        lethe.wait_for_request(filed)
    version = lethe.wait_for_version("support-bot", "production")
    assert (version.version, version.state) == ("v2", "ready")
    assert lethe.wait_for_run(str(version.run)).state == "succeeded"


def test_the_feed_from_its_beginning_or_from_an_event_on(house: House, lethe: Lethe) -> None:
    house.line("support-bot", people(10))
    lethe.create_request(ASKED)
    events = lethe.list_events().items
    assert list(islice(lethe.follow_events(), len(events))) == events
    rest = lethe.follow_events(last_event_id=str(events[1].id), adapter="support-bot")
    assert next(iter(rest)) == next(event for event in events[2:] if event.adapter == "support-bot")


@pytest.mark.parametrize("place", ["somewhere", "99999999999999999999"])
def test_a_place_that_the_feed_does_not_know(lethe: Lethe, place: str) -> None:
    with pytest.raises(Exception, match="no event of this feed"):
        next(iter(lethe.follow_events(last_event_id=place)))
