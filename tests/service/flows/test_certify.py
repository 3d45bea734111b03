"""What a certificate says of a request, on a real database."""

import base64
import hashlib
import json
from collections.abc import Sequence
from datetime import UTC, timedelta
from typing import Any

from service.domain.measurements import Verified
from service.domain.version import ENGINE_VERSION
from service.evidence.audit import Entry, verify
from service.flows.decide import Extension, approve, extend
from service.flows.facts import TESTS
from service.store.repositories.feed import audit_payload
from tests.support.house import ACTOR, House, people, remove, remove_subject

SUBJECT = "Person 1"


def said(house: House, request: str) -> list[dict[str, Any]]:
    """The predicates of a request's certificates, newest first."""
    with house.store.read() as unit:
        envelopes = [row.envelope for row in unit.requests.certificates(request)]
    return [json.loads(base64.b64decode(envelope["payload"]))["predicate"] for envelope in envelopes]


def chain(house: House) -> Sequence[Entry]:
    with house.store.read() as unit:
        return [Entry(row.seq, audit_payload(row), row.hash) for row in unit.feed.audit_rows(0, 1000)]


def test_a_subject_is_named_by_its_keyed_hash_alone(house: House) -> None:
    line = house.line("bot", people(6))
    by_subject, by_id = house.submit(remove_subject(SUBJECT)), house.submit(remove("p2-0"))
    house.serve(line)
    (one,), (other,) = said(house, by_subject), said(house, by_id)
    assert one["data"]["subjects"] == [house.vault.hashes.subject(SUBJECT)]
    assert other["data"]["subjects"] == []
    for text in (SUBJECT, SUBJECT.lower(), "p1-0", "Answer 1"):
        assert text not in json.dumps([one, other])


def test_the_dataset_is_pinned(house: House) -> None:
    line = house.line("bot", people(6))
    request = house.submit(remove("p0-0"))
    house.serve(line)
    (certificate,) = said(house, request)
    with house.store.read() as unit:
        dataset = unit.datasets.get(certificate["data"]["dataset"]["id"])
    assert dataset is not None
    assert certificate["data"]["dataset"] == {"id": dataset.id, "digest": dataset.digest, "instances": 12}
    assert len(str(dataset.digest)) == 64
    again, changed = house.dataset(people(6)), house.dataset(people(6)[::-1])
    with house.store.read() as unit:
        digests = [found.digest for found in (unit.datasets.get(again), unit.datasets.get(changed)) if found]
    assert digests[0] == dataset.digest != digests[1]


def test_method_parameters_and_what_was_not_tested(house: House) -> None:
    line = house.line("bot", people(6), update_budget=0.02)
    request = house.submit(remove("p0-0"))
    house.serve(line, grade="trajectory", verified=Verified(not_run={"relearning": "The policy does not ask for it."}))
    house.rebuild(house.begin_rebuild(line))
    exact, interim = said(house, request)
    assert interim["method"]["parameters"] == {"update_budget": 0.02, "grade": "trajectory"}
    assert (interim["method"]["strategy"], interim["method"]["deterministic"]) == ("influence", False)
    assert exact["method"]["parameters"]["recipe"]["epochs"] == 2
    assert (exact["method"]["strategy"], exact["method"]["deterministic"]) == ("rebuild", True)
    assert set(exact["tests_not_run"]) == set(TESTS)
    assert interim["tests_not_run"] == {"relearning": "The policy does not ask for it."}
    for certificate in (exact, interim):
        assert certificate["method"]["engine_version"] == ENGINE_VERSION
        assert certificate["method"]["libraries"]["safetensors"]
        assert certificate["version"]["base_model"] == {"id": "base", "revision": None, "digest": "sha256:base"}


def test_the_versions_before_and_their_fate(house: House) -> None:
    line = house.line("bot", people(6))
    request = house.submit(remove("p0-0"))
    house.serve(line)
    later = house.submit(remove("p1-0"))
    house.serve(line)
    (first,), (second,) = said(house, request), said(house, later)
    fates = {older["name"]: older["fate"] for older in second["version"]["superseded"]}
    assert [(older["name"], older["fate"]) for older in first["version"]["superseded"]] == [("bot@v1", "retained")]
    assert fates == {"bot@v1": "retained", "bot@v2": "retained"}
    assert first["version"]["superseded"][0]["at"] > first["issued_at"]
    with house.store.write() as unit:
        unit.versions.of_line(line)[0].withdraw_at = None
    house.rebuild(house.begin_rebuild(line))
    newest = said(house, request)[0]["version"]["superseded"]
    assert "bot@v2" not in {older["name"] for older in newest}, "v2 covers the first request"


def test_who_filed_approved_and_did_it(house: House) -> None:
    line = house.line("bot", people(6), require_approval=True)
    request = house.submit(remove("p0-0"))
    with house.store.write() as unit:
        approve(unit, request, actor="key_privacy")
    house.serve(line)
    (certificate,) = said(house, request)
    assert certificate["actors"] == {
        "submitted_by": ACTOR, "approved_by": "key_privacy", "executed_by": "worker-1",
    }  # fmt: skip


def test_the_clock_with_a_moved_due_date(house: House) -> None:
    line = house.line("bot", people(6))
    request = house.submit(remove("p0-0"), regulation="gdpr")
    with house.store.write() as unit:
        due = house.request(request).due_at + timedelta(days=60)
        extend(unit, request, Extension(due, "many requests", UTC), actor=ACTOR)
    house.serve(line)
    (certificate,) = said(house, request)
    clock = certificate["clock"]
    assert clock["extended_until"] == clock["due_at"]
    assert clock["submitted_at"] <= clock["started_at"] <= clock["completed_at"] == certificate["issued_at"]


def test_it_pins_the_audit_chain_which_says_what_was_issued(house: House) -> None:
    line = house.line("bot", people(6))
    request = house.submit(remove("p0-0"))
    house.serve(line)
    (certificate,) = said(house, request)
    entries = chain(house)
    assert verify(entries) == entries[-1].hash
    (pinned,) = [entry for entry in entries if entry.hash == certificate["audit"]["hash"]]
    (issued,) = [entry for entry in entries if entry.row["action"] == "certificate.issued"]
    assert (pinned.seq, pinned.seq < issued.seq) == (certificate["audit"]["seq"], True)
    with house.store.read() as unit:
        payload = base64.b64decode(unit.requests.certificates(request)[0].envelope["payload"])
    assert issued.row["data"] == {
        "certificate": certificate["certificate"], "request": request, "level": "M",
        "sha256": hashlib.sha256(payload).hexdigest(),
    }  # fmt: skip
