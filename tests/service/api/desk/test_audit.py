"""The audit chain at the desk: its head, its newest rows, and all of it to take along."""

from service.evidence.audit_export import read_export, verify_export
from service.evidence.key_set import read_key_set
from tests.service.api.desk.conftest import Furnished
from tests.support.desk import visitor


def test_head_and_newest_rows(furnished: Furnished) -> None:
    page = visitor(furnished.api).page("/desk/audit")
    with furnished.api.store.read() as unit:
        head, (newest, *_) = unit.feed.audit_head(), unit.feed.newest_audit_rows(1)
    assert head.hash in page.text
    (first, *_) = [row for row in page.all("tr") if "tbody" in row.inside]
    assert str(newest.seq) in first.text
    assert newest.action in first.text


def test_the_export_verifies(furnished: Furnished) -> None:
    response = visitor(furnished.api).get("/desk/audit/export")
    assert "attachment" in response.headers["content-disposition"]
    keys = read_key_set(furnished.api.client.get("/.well-known/jwks.json").json())
    exported = read_export(response.text.splitlines())
    assert verify_export(exported, keys).holds
    assert len(exported.entries) > 50


def test_reasons_are_not_in_it(furnished: Furnished) -> None:
    assert "identity not proven" not in visitor(furnished.api).get("/desk/audit").text
