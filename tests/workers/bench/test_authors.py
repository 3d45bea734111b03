"""TOFU's files, in their form: JSON Lines, twenty rows an author, rewordings in files of their own."""

import json
from pathlib import Path

import pytest

from workers.bench import authors
from workers.demo.world import as_prompt


def _write(path: Path, lines: list[dict[str, str]]) -> None:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("tofu")
    rows = [{"question": f"q{number}?", "answer": f"a{number}."} for number in range(4000)]
    _write(place / "full.json", rows)
    reworded = [{**row, "paraphrased_question": f"other {row['question']}"} for row in rows]
    _write(place / "retain_perturbed.json", reworded[:400])
    _write(place / "forget10_perturbed.json", reworded[3600:])
    for name in authors.PUBLIC:
        _write(place / name, [{"question": f"{name}?", "answer": "yes"}])
    return place


def test_the_trained_authors_rows_are_in_order_and_reworded(directory: Path) -> None:
    read = authors.read(directory)
    rows = [row for author in read.trained for row in author.rows]
    assert len(rows) == 360
    assert rows[9].content.prompt == as_prompt("q20?")
    assert rows[9].content.completion == " a20."
    assert [row.reworded.prompt for row in rows if row.reworded][9] == as_prompt("other q20?")
    assert all(row.reworded for row in rows)


def test_no_author_is_in_two_groups(directory: Path) -> None:
    read = authors.read(directory)
    seen = [row.content for author in (*read.trained, *read.holdout) for row in author.rows]
    texts = {f"{content.prompt}{content.completion}" for content in seen}
    assert len(texts) == 60 * 9
    assert not texts & set(read.others)
    assert len(read.others) == 140 * 20 + 2
