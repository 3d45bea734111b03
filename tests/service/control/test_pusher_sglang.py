"""SGLang servers follow the alias too: they have no alias names, and unload by name."""

from collections.abc import Iterator

import pytest

from service.control.pusher import Pusher
from service.domain.probes import ProbeOutcome
from service.domain.serving import ServerKind
from tests.support.pushing import push, receipts, said
from tests.support.serving import Serving
from tests.support.sglang_double import SglangDouble, sglang_double

pytestmark = pytest.mark.slow


@pytest.fixture
def sglang() -> Iterator[SglangDouble]:
    with sglang_double() as double:
        yield double


class TestSglang:
    def test_a_replica_follows_without_an_alias_name(
        self, serving: Serving, pusher: Pusher, sglang: SglangDouble
    ) -> None:
        serving.publish()
        target = serving.register(sglang.url, kind=ServerKind.sglang)
        push(pusher)
        assert sglang.loaded.keys() == {"bot@v1"}
        serving.publish()
        push(pusher)
        assert sglang.loaded.keys() == {"bot@v2"}
        (replica,) = serving.replicas(target)
        assert (replica.outcome, replica.error) == (ProbeOutcome.proven, None)
        (envelope,) = receipts(serving, serving.publisher.requests[0])
        assert said(envelope)["removed"] == [{"name": "bot@v1", "overwritten": None}]

    def test_a_name_that_comes_back_is_unloaded_again(
        self, serving: Serving, pusher: Pusher, sglang: SglangDouble
    ) -> None:
        serving.publish()
        serving.register(sglang.url, kind=ServerKind.sglang)
        push(pusher)
        serving.publish()
        push(pusher)
        sglang.loaded["bot@v1"] = {}
        push(pusher)
        assert sglang.loaded.keys() == {"bot@v2"}

    def test_what_it_refuses_is_refused_for_good(self, serving: Serving, pusher: Pusher, sglang: SglangDouble) -> None:
        serving.publish(r=32)
        target = serving.register(sglang.url, kind=ServerKind.sglang)
        push(pusher)
        push(pusher)
        (replica,) = serving.replicas(target)
        assert replica.error is not None
        assert replica.error["refused"] == [replica.desired_id]
        assert [path for path, _ in sglang.requests] == ["/load_lora_adapter"]
