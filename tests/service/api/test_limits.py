"""How often a caller may call, an address may be wrong, and how many streams are held open."""

import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from fastapi.testclient import TestClient

from service.api.errors import TooManyCalls
from service.api.limits import MAX_BUCKETS, Buckets, Limits
from service.domain.scopes import Scope
from service.evidence.tokens import new_token
from service.settings import Settings
from tests.support.api import ADMIN_KEY, Api, assert_problem, removal
from tests.support.api_server import served
from tests.support.waiting import wait_until

RUNS, REQUESTS = "/v1/runs", "/v1/unlearning-requests"


class Clock:
    def __init__(self) -> None:
        self.now = 50.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


class TestBuckets:
    """Sixty calls a minute, ten at once."""

    @pytest.fixture
    def buckets(self, clock: Clock) -> Buckets:
        return Buckets("calls", 60, 10, clock)

    def wait(self, buckets: Buckets, name: str = "ann") -> float:
        quota = buckets.take(name)
        assert quota is not None
        return quota.wait_s

    def test_as_many_at_once_as_it_holds(self, buckets: Buckets) -> None:
        assert [self.wait(buckets) for _ in range(11)] == [0.0] * 10 + [1.0]

    def test_it_refills_steadily_and_no_further_than_full(self, buckets: Buckets, clock: Clock) -> None:
        for _ in range(10):
            self.wait(buckets)
        clock.now += 2.5
        assert [self.wait(buckets) for _ in range(3)] == [0.0, 0.0, 0.5]
        clock.now += 3600
        assert [self.wait(buckets) for _ in range(11)] == [0.0] * 10 + [1.0]

    def test_a_refused_call_costs_nothing(self, buckets: Buckets, clock: Clock) -> None:
        for _ in range(50):
            self.wait(buckets)
        clock.now += 1
        assert self.wait(buckets) == 0.0

    def test_every_name_has_its_own(self, buckets: Buckets) -> None:
        for _ in range(10):
            self.wait(buckets)
        assert self.wait(buckets, "bob") == 0.0

    def test_what_is_told(self, buckets: Buckets) -> None:
        first = buckets.take("ann")
        assert first is not None
        assert (first.name, first.size, first.window_s, first.left, first.full_in_s) == ("calls", 10, 10, 9, 1)

    def test_memory_is_bounded(self, buckets: Buckets) -> None:
        for number in range(MAX_BUCKETS + 10):
            buckets.take(str(number))
        assert len(buckets._held) == MAX_BUCKETS

    def test_no_limit(self, clock: Clock) -> None:
        buckets = Buckets("calls", 0, 10, clock)
        assert [buckets.take("ann") for _ in range(100)] == [None] * 100

    def test_threads_get_no_more_than_there_is(self, buckets: Buckets) -> None:
        with ThreadPoolExecutor(8) as pool:
            waits = list(pool.map(lambda _: self.wait(buckets), range(400)))
        assert waits.count(0.0) == 10


class TestAddresses:
    @pytest.fixture
    def limits(self, clock: Clock) -> Limits:
        return Limits(Settings(rate_limit_failures=6, rate_burst_s=30), clock)

    def fail(self, limits: Limits, address: str | None, times: int = 3) -> None:
        for _ in range(times):
            limits.check_address(address, "wrong")
            limits.failed(address, "wrong")

    def test_after_some_failures_wrong_keys_are_not_looked_at(self, limits: Limits, clock: Clock) -> None:
        self.fail(limits, "192.0.2.1")
        with pytest.raises(TooManyCalls) as refused:
            limits.check_address("192.0.2.1", "wrong")
        assert (refused.value.code, refused.value.headers) == ("too-many-failures", {"Retry-After": "10"})
        clock.now += 10
        self.fail(limits, "192.0.2.1", times=1)

    def test_others_are_let_in(self, limits: Limits) -> None:
        self.fail(limits, "192.0.2.1")
        limits.check_address("192.0.2.2", "wrong")

    def test_and_so_is_who_was_right_before_from_the_same_address(self, limits: Limits) -> None:
        limits.proven("right")
        self.fail(limits, "192.0.2.1")
        limits.check_address("192.0.2.1", "right")

    def test_until_the_key_is_wrong_too(self, limits: Limits) -> None:
        limits.proven("right")
        self.fail(limits, "192.0.2.1")
        limits.failed("192.0.2.1", "right")
        with pytest.raises(TooManyCalls):
            limits.check_address("192.0.2.1", "right")

    @pytest.mark.parametrize(
        ("one", "other", "same"),
        [
            ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", True),
            ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
            ("::ffff:192.0.2.1", "192.0.2.1", True),
            ("fe80::1%eth0", "fe80::2%eth1", True),
            (None, "testclient", True),
        ],
    )
    def test_which_addresses_are_one_customer(self, limits: Limits, one: str | None, other: str, same: bool) -> None:
        self.fail(limits, one)
        if not same:
            limits.check_address(other, "wrong")
            return
        with pytest.raises(TooManyCalls):
            limits.check_address(other, "wrong")


@pytest.fixture
def limited(sqlite_url: str, tmp_path: Path) -> Iterator[Callable[..., Api]]:
    """Makes an API with these limits a minute, of which half may come at once."""
    made: list[Api] = []

    def make(**settings: object) -> Api:
        made.append(Api(tmp_path / "home", sqlite_url, **settings))
        return made[-1]

    yield make
    for api in made:
        api.store.close()


class TestOverHttp:
    def test_who_calls_too_often_is_told_when_to_come_back(self, limited: Callable[..., Api]) -> None:
        api = limited(rate_limit=6)
        client = api.client_with(Scope.runs_read)
        answers = [client.get(RUNS) for _ in range(4)]
        assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
        assert answers[0].headers["RateLimit-Policy"] == '"calls";q=3;w=30'
        assert answers[0].headers["RateLimit"] == '"calls";r=2;t=10'
        document = assert_problem(answers[3], 429, "too-many-calls")
        assert answers[3].headers["Retry-After"] == str(document["retry_after"])
        assert 1 <= int(answers[3].headers["Retry-After"]) <= 10
        assert re.fullmatch(r'"calls";r=0;t=(29|30)', answers[3].headers["RateLimit"])

    def test_limits_are_the_callers_own(self, limited: Callable[..., Api]) -> None:
        api = limited(rate_limit=2)
        first, second = api.client_with(Scope.runs_read), api.client_with(Scope.runs_read)
        assert [first.get(RUNS).status_code for _ in range(2)] == [200, 429]
        assert second.get(RUNS).status_code == 200

    def test_a_rotated_key_is_the_same_caller(self, limited: Callable[..., Api]) -> None:
        api = limited(rate_limit=4)
        made = api.client.post("/v1/keys", json={"name": "k", "scopes": ["runs:read"]}).json()
        new = api.client.post(f"/v1/keys/{made['id']}/rotate").json()
        clients = [api.client_of(token) for token in (made["token"], new["token"])]
        assert [client.get(RUNS).status_code for client in clients * 2] == [200, 200, 429, 429]

    def test_calls_that_create_or_plan_have_a_lower_one(self, limited: Callable[..., Api]) -> None:
        api = limited(rate_limit=100, rate_limit_posts=4)
        assert api.client.post("/v1/unlearning-plans", json=removal("p1-0")).status_code != 429
        answer = api.client.post(REQUESTS, json=removal("p1-0"))
        assert answer.status_code != 429
        assert answer.headers["RateLimit-Policy"] == '"calls";q=50;w=30, "posts";q=2;w=30'
        for path in ("/v1/unlearning-plans", REQUESTS, "/v1/keys"):
            assert_problem(api.client.post(path, json={}), 429, "too-many-calls")
        assert api.client.get(RUNS).status_code == 200

    def test_refusals_count_too(self, limited: Callable[..., Api]) -> None:
        client = limited(rate_limit=2).client_with(Scope.audit_read)
        assert [client.get(RUNS).status_code for _ in range(2)] == [403, 429]

    def test_health_is_always_told(self, limited: Callable[..., Api]) -> None:
        api = limited(rate_limit=2)
        assert [api.client.get("/livez").status_code for _ in range(5)] == [200] * 5

    def test_wrong_keys(self, limited: Callable[..., Api]) -> None:
        api = limited(rate_limit_failures=4)
        assert api.client.get(RUNS).status_code == 200
        codes = [self.code(api.client_of(key)) for key in ("x", new_token(), "x", new_token())]
        assert codes == ["malformed-key", "unauthenticated", "too-many-failures", "too-many-failures"]
        assert api.client.get(RUNS).status_code == 200
        answer = api.client_with(Scope.runs_read).get(RUNS)
        assert_problem(answer, 429, "too-many-failures")
        assert int(answer.headers["Retry-After"]) <= 15

    def test_no_key_is_no_guess(self, limited: Callable[..., Api]) -> None:
        api = limited(rate_limit_failures=2)
        assert [self.code(api.client_of(None)) for _ in range(4)] == ["unauthenticated"] * 4

    @staticmethod
    def code(client: TestClient) -> str:
        code: str = client.get(RUNS).json()["code"]
        return code


def test_streams_are_counted_while_they_are_open(limited: Callable[..., Api]) -> None:
    api = limited(max_streams=2)
    stream = {"Accept": "text/event-stream", "Authorization": f"Bearer {ADMIN_KEY}"}
    with served(api.app) as url, httpx.Client(base_url=url, headers=stream) as client:
        with client.stream("GET", "/v1/events") as first, client.stream("GET", "/v1/events") as second:
            assert (first.status_code, second.status_code) == (200, 200)
            assert_problem(client.get("/v1/events"), 429, "too-many-streams")
            other = {"Authorization": f"Bearer {api.token_of(Scope.events_read)}"}
            with client.stream("GET", "/v1/events", headers=other) as foreign:
                assert foreign.status_code == 200

        def let_in() -> bool:
            with client.stream("GET", "/v1/events") as again:
                return again.status_code == 200

        wait_until(let_in)
    assert not api.app.state.context.limits._streams
