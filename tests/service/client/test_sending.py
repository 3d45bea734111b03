"""Calls are repeated until they are answered, and never done twice. The other end is a real, unreliable server."""

import asyncio
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest

from service.client import AsyncLethe, Lethe, Unavailable, Unexpected, Unreachable
from service.client.sending import ATTEMPTS, retry_after_s
from service.domain.adapters import BaseModelRef
from service.domain.errors import Conflict, LetheError, UndoesErasure
from tests.support.unreliable import HANG_UP, Reply, Unreliable

pytestmark = pytest.mark.usefixtures("impatient")
NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def lethe(server: Unreliable) -> Iterator[Lethe]:
    with Lethe(server.url, "lethe_key") as lethe:
        yield lethe


class TestCallsThatCreate:
    def test_every_attempt_is_the_same_call(self, server: Unreliable, lethe: Lethe) -> None:
        server.will(503, HANG_UP, 429, 502, 200)
        assert lethe.rotate_signing_key().kid == "k"
        assert len(server.seen) == 5
        assert len({seen["Idempotency-Key"] for seen in server.seen}) == 1
        assert {seen["body"] for seen in server.seen} == {b'{"purpose":"statements"}'}
        assert {seen["Authorization"] for seen in server.seen} == {"Bearer lethe_key"}

    def test_the_same_without_blocking(self, server: Unreliable) -> None:
        server.will(503, HANG_UP, 429, 502, 200)

        async def rotate() -> str:
            async with AsyncLethe(server.url, "lethe_key") as lethe:
                return (await lethe.rotate_signing_key()).kid

        assert asyncio.run(rotate()) == "k"
        assert len({(seen["Idempotency-Key"], seen["body"]) for seen in server.seen}) == 1

    def test_two_calls_have_two_keys(self, server: Unreliable, lethe: Lethe) -> None:
        server.will(200, 200)
        lethe.rotate_signing_key()
        lethe.rotate_signing_key()
        assert len({seen["Idempotency-Key"] for seen in server.seen}) == 2

    def test_a_key_of_ones_own(self, server: Unreliable, lethe: Lethe) -> None:
        server.will(200)
        lethe.rotate_signing_key(idempotency_key="rotation-7")
        assert server.seen[0]["Idempotency-Key"] == "rotation-7"

    @pytest.mark.parametrize("kind", ["sync", "async"])
    def test_an_upload_is_sent_whole_again(self, server: Unreliable, tmp_path: Path, kind: str) -> None:
        file = tmp_path / "data.jsonl"
        file.write_bytes(b"x" * 3_000_000)
        server.will(HANG_UP, 409)

        async def upload() -> None:
            async with AsyncLethe(server.url) as lethe:
                await lethe.create_dataset(file)

        with pytest.raises(Conflict):
            Lethe(server.url).create_dataset(file) if kind == "sync" else asyncio.run(upload())
        assert [len(seen["body"]) for seen in server.seen] == [3_000_000, 3_000_000]
        assert server.seen[0]["path"] == "/v1/datasets?name=data.jsonl"
        assert len({seen["Idempotency-Key"] for seen in server.seen}) == 1

    @pytest.mark.parametrize("kind", ["sync", "async"])
    def test_a_form_is_sent_whole_again(self, server: Unreliable, tmp_path: Path, kind: str) -> None:
        archive = tmp_path / "adapter.tar"
        archive.write_bytes(b"y" * 100_000)
        server.will(HANG_UP, 409)

        async def upload() -> None:
            async with AsyncLethe(server.url) as lethe:
                await lethe.import_adapter("bot", archive, "ds_1")

        with pytest.raises(Conflict):
            Lethe(server.url).import_adapter("bot", archive, "ds_1") if kind == "sync" else asyncio.run(upload())
        assert [seen["body"].count(b"y" * 100_000) for seen in server.seen] == [1, 1]


class TestCallsThatMustNotBeDoneTwice:
    def test_a_lost_answer_is_told(self, server: Unreliable, lethe: Lethe) -> None:
        server.will(HANG_UP)
        with pytest.raises(Unreachable):
            lethe.approve_request("req_1")
        assert len(server.seen) == 1
        assert "Idempotency-Key" not in server.seen[0]

    def test_so_is_a_gateway_that_gave_up(self, server: Unreliable, lethe: Lethe) -> None:
        server.will(504)
        with pytest.raises(Unavailable):
            lethe.approve_request("req_1")

    def test_what_was_sent_back_undone_is_repeated(self, server: Unreliable, lethe: Lethe) -> None:
        server.will(503, 429, 409)
        with pytest.raises(Conflict):
            lethe.approve_request("req_1")
        assert len(server.seen) == 3

    def test_reading_and_setting_are_repeated(self, server: Unreliable, lethe: Lethe) -> None:
        server.will(HANG_UP, 504, 409, HANG_UP, 409)
        with pytest.raises(Conflict):
            lethe.get_request("req_1")
        with pytest.raises(Conflict):
            lethe.set_alias("bot", "production", "v2", expected="v1")
        assert [seen["method"] for seen in server.seen] == ["GET"] * 3 + ["PUT"] * 2


class TestRetryAfter:
    def test_it_is_waited_for(self, server: Unreliable, lethe: Lethe) -> None:
        server.will(429, Retry_After="1")
        server.will(200)
        began = time.monotonic()
        lethe.rotate_signing_key()
        assert time.monotonic() - began >= 1

    def test_who_asks_for_an_hour_is_not_waited_for(self, server: Unreliable, lethe: Lethe) -> None:
        server.will(503, Retry_After="3600")
        with pytest.raises(Unavailable):
            lethe.rotate_signing_key()

    @pytest.mark.parametrize(
        ("value", "seconds"),
        [
            ("7", 7.0),
            (format_datetime(NOW + timedelta(seconds=9), usegmt=True), 9.0),
            (format_datetime(NOW - timedelta(days=1), usegmt=True), 0.0),
            ("soon", 0.0),
            ("-1", 0.0),
            ("", 0.0),
        ],
    )
    def test_seconds_and_dates(self, value: str, seconds: float) -> None:
        assert retry_after_s({"Retry-After": value}, now=NOW) == seconds


class TestRefusals:
    def test_one_is_raised_at_once_with_all_it_says(self, server: Unreliable, lethe: Lethe) -> None:
        server.will(409)
        with pytest.raises(Conflict) as refused:
            lethe.get_request("req_1")
        error = refused.value
        assert (error.status, error.code, error.title, error.detail, error.fix) == (
            409,
            "no",
            "No",
            "Because.",
            "Yes.",
        )
        assert error.extra == {"lowest_allowed": "v3"}
        assert len(server.seen) == 1

    def test_a_known_code_is_the_error_it_was_made_of(self, server: Unreliable, lethe: Lethe) -> None:
        server.replies = [Reply(409, {"code": "undoes-erasure", "detail": "It would.", "lowest_allowed": "v3"})]
        with pytest.raises(UndoesErasure) as refused:
            lethe.set_alias("bot", "production", "v1", expected=None)
        assert refused.value.extra["lowest_allowed"] == "v3"

    def test_a_service_that_stays_overloaded_is_given_up(self, server: Unreliable, lethe: Lethe) -> None:
        server.will(*[502] * ATTEMPTS)
        with pytest.raises(Unavailable) as refused:
            lethe.get_request("req_1")
        assert refused.value.status == 502

    def test_what_a_proxy_says_instead(self, server: Unreliable, lethe: Lethe) -> None:
        server.replies = [Reply(418, b"<h1>teapot</h1>", {"Content-Type": "text/html"})]
        with pytest.raises(Unexpected) as refused:
            lethe.get_request("req_1")
        assert (refused.value.status, refused.value.code) == (418, "unexpected-answer")

    def test_a_service_that_is_elsewhere_has_done_nothing(self, server: Unreliable, lethe: Lethe) -> None:
        server.replies = [Reply(301, b"", {"Location": f"{server.url}/elsewhere"})]
        with pytest.raises(Unexpected, match="LETHE_URL"):
            lethe.delete_key("key_1")
        assert len(server.seen) == 1, "nothing is sent to where the key was not meant for"

    @pytest.mark.parametrize("body", [b"[]", b'{"items": 1}', b"{}"])
    def test_a_list_that_is_none(self, server: Unreliable, lethe: Lethe, body: bytes) -> None:
        server.replies = [Reply(200, body)]
        with pytest.raises(Unexpected):
            lethe.list_certificates("req_1")

    @pytest.mark.parametrize("body", [b"<h1>welcome</h1>", b"[]", b'{"id": 1}'])
    def test_an_answer_that_is_none(self, server: Unreliable, lethe: Lethe, body: bytes) -> None:
        server.replies = [Reply(200, body)]
        with pytest.raises(Unexpected):
            lethe.get_request("req_1")

    def test_a_service_that_is_not_there(self) -> None:
        with Lethe("http://127.0.0.1:9") as lethe, pytest.raises(Unreachable) as refused:
            lethe.create_adapter("bot", BaseModelRef(path="/base"))
        assert isinstance(refused.value, LetheError)
        assert "http://127.0.0.1:9" in refused.value.detail
        assert "lethe up" in (refused.value.fix or "")
