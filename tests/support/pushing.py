"""A pusher that the test drives, and what is seen of it on a server, in the feed and in receipts."""

import base64
import json
from typing import Any

from service.control.pusher import Pusher
from tests.support.serving import Serving
from tests.support.vllm_double import VllmDouble


def push(pusher: Pusher) -> None:
    pusher.push_due()
    pusher.wait()


def names(double: VllmDouble) -> dict[str, str]:
    return {name: lora.lora_path for name, lora in double.registered.items()}


def events(serving: Serving, kind: str) -> list[dict[str, Any]]:
    with serving.house.store.read() as unit:
        return [event.data for event in unit.feed.events(0, limit=1000) if event.type == kind]


def receipts(serving: Serving, request: str) -> list[dict[str, Any]]:
    """The envelopes of what covers a request, newest first."""
    with serving.house.store.read() as unit:
        (target,) = unit.targets.of_request(request)
        covering = unit.ledger.highest_seq(target.id)
        assert covering is not None
        return [row.envelope for row in unit.serving.receipts(target.line_id, covering)]


def said(envelope: dict[str, Any]) -> dict[str, Any]:
    predicate: dict[str, Any] = json.loads(base64.b64decode(envelope["payload"]))["predicate"]
    return predicate
