"""Adapter lines at the desk: versions, lineage, aliases, floors, ledger."""

from service.api.desk.lineage import lineage
from service.api.views.adapters import version_read
from tests.service.api.desk.conftest import Furnished
from tests.support.api import Api
from tests.support.desk import visitor
from tests.support.house import correct, people


def test_everything_about_a_line(furnished: Furnished) -> None:
    page = visitor(furnished.api).page("/desk/lines/support-bot")
    for words in ("Anchor", "Floor", "v4 the oldest version an alias may point at", "3 removed, 0 changed",
                  "1 not in the anchor yet", "production → v4", "Rebuild under", "10 min"):  # fmt: skip
        assert words in page.text, words
    rows = [row.text.split() for row in page.all("tr") if "tbody" in row.inside]
    assert [row[0].rstrip("●") for row in rows] == ["v4", "v3", "v2", "v1"]


def test_corrections_are_counted_apart(api: Api) -> None:
    line = api.line("bot", people(10))
    api.submit(correct("p1-0", "Another answer."))
    api.serve(line)
    assert "0 removed, 1 changed" in visitor(api).page("/desk/lines/bot").text


def test_what_a_line_cannot_do_is_told_with_the_reason(furnished: Furnished) -> None:
    with furnished.api.store.write() as unit:
        line = unit.lines.by_name("imported")
        assert line is not None
        anchor = unit.versions.get(str(line.anchor_id))
        anchor.capabilities = [{"name": "rebuild", "supported": False, "reason": "No recipe was given."}]
    text = visitor(furnished.api).page("/desk/lines/imported").text
    assert "No rebuild No recipe was given." in text


def test_the_picture_has_a_dot_a_version_and_every_anchor_its_own_column(furnished: Furnished) -> None:
    with furnished.api.store.read() as unit:
        line = unit.lines.by_name("support-bot")
        assert line is not None
        versions = [version_read(unit, line, version) for version in unit.versions.of_line(line.id)]
    picture = str(lineage(versions, "v4"))
    assert picture.count("<circle") == 4
    assert picture.count('class="anchor"') == 2
    assert len({part.split('"')[0] for part in picture.split('cx="')[1:]}) == 2
    assert "v2 (influence) from v1" in picture
    assert "lowest allowed" in picture
