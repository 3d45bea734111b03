"""Lines and oracles are really trained, once."""

from pathlib import Path

import torch

from service.domain.instances import Content
from service.domain.ledger import Edit
from workers.bench.cases import Line
from workers.bench.lines import after, case_of, retrained, trained_line
from workers.bench.settings import Setting

EDITS = (Edit("row-7", Content(prompt="row7:", completion="zzz")), Edit("row-4", None))


def test_a_line_is_trained_once(setting: Setting, line: Line, cache: Path) -> None:
    written = {path: path.stat().st_mtime_ns for path in cache.rglob("*") if path.is_file()}
    again = trained_line(setting, "memorised", cache)
    assert torch.equal(again.anchor, line.anchor)
    assert again.preparation.training_level == line.preparation.training_level
    assert {path: path.stat().st_mtime_ns for path in written} == written


def test_an_oracle_without_edits_and_with_the_same_seed_is_the_anchor(line: Line, tmp_path: Path) -> None:
    assert torch.equal(retrained(line, (), line.recipe.seed, tmp_path), line.anchor)


def test_an_oracle_depends_on_ledger_and_seed_and_is_kept(line: Line, tmp_path: Path) -> None:
    first = retrained(line, EDITS, 0, tmp_path)
    assert not torch.equal(retrained(line, EDITS, 1, tmp_path), first)
    assert not torch.equal(retrained(line, EDITS[:1], 0, tmp_path), first)
    assert torch.equal(retrained(line, EDITS, 0, tmp_path), first)
    assert len(list(tmp_path.iterdir())) == 3


def test_what_is_removed_leaves_its_slot_and_what_is_edited_keeps_it(setting: Setting) -> None:
    data = after(setting.data, EDITS)
    slots = {example.id: slot for example, slot in zip(data.examples, data.slots, strict=True)}
    contents = {example.id: example.content for example in data.examples}
    assert data.slot_count == 36
    assert slots == {f"row-{number}": number for number in range(36) if number != 4}
    assert contents["row-7"] == EDITS[0].new


def test_a_case_has_the_canonical_ledger_in_tokens(line: Line) -> None:
    case = case_of(line, EDITS, seed=5)
    assert [change.instance_id for change in case.changes] == ["row-4", "row-7"]
    assert case.old == [line.tokens["row-4"], line.tokens["row-7"]]
    assert len(case.new) == 1
    assert len(case.retained) == 34
    assert case.changes[0].weight == line.record.weights["row-4"]
