"""The function that RQ calls: what goes wrong in it is logged by type and place, and does not get into Redis."""

import logging
from typing import cast

import pytest
from redis import Redis
from rq import Queue, SimpleWorker
from rq.serializers import JSONSerializer

from workers import jobs
from workers.supervisor import Supervisor

SECRET = "thistlemarrow 8842"


class Broken:
    """As when the database goes away in mid-run; PostgreSQL's errors quote the values of the row."""

    def execute(self, run_id: str) -> None:
        raise ConnectionError(f"Key (client_reference)=({SECRET}) already exists")


def test_the_text_of_an_error_does_not_get_into_redis(redis_url: str, caplog: pytest.LogCaptureFixture) -> None:
    jobs.serve_with(cast(Supervisor, Broken()))
    with Redis.from_url(redis_url) as connection:
        queue = Queue("default", connection=connection, serializer=JSONSerializer)
        queue.enqueue("workers.jobs.execute", "run_1", description="", failure_ttl=600)
        worker = SimpleWorker([queue], connection=connection, serializer=JSONSerializer)
        with caplog.at_level(logging.INFO):
            worker.work(burst=True)
        stored = b"".join(connection.dump(name) or b"" for name in connection.scan_iter())
    assert "run run_1 was left as it is" in caplog.messages
    assert SECRET.encode() not in stored
