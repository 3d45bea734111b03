"""The demonstration's tables for people."""

from collections.abc import Iterable, Mapping, Sequence

from rich.table import Table
from rich.text import Text

from workers.demo.cast import CORRECTED, FORGOTTEN, NEVER_SEEN, RETAINED
from workers.demo.exam import Mark, Marks
from workers.demo.report import Check, Times

GROUPS = (FORGOTTEN, CORRECTED, RETAINED, NEVER_SEEN)
ANSWERS_SHOWN = {FORGOTTEN: 2, CORRECTED: 2, RETAINED: 1, NEVER_SEEN: 1}


def losses_table(exams: Mapping[str, Marks]) -> Table:
    """Mean loss a group, and how many greedy answers are right word for word."""
    table = _table("What they know: mean loss in nats a token (answers right word for word)", "facts", exams)
    for group in GROUPS:
        table.add_row(group, *(_loss(marks, group) for marks in exams.values()))
    return table


def answers_table(exams: Mapping[str, Marks]) -> Table:
    """The same questions to every adapter; answers that are right word for word are green."""
    table = _table("What they answer", "question", exams)
    for group in GROUPS:
        rows = zip(*(_asked(marks, group) for marks in exams.values()), strict=True)
        for _, row in zip(range(ANSWERS_SHOWN[group]), rows, strict=False):
            question = row[0].question
            label = Text(f"{group}\n", style="bold")
            label.append(question.prompt.removeprefix("Question: ").removesuffix("\nAnswer:"), style="not bold")
            label.append(f"\n{question.completion.strip()}", style="dim")
            table.add_row(label, *(_answer(mark) for mark in row))
        table.add_section()
    return table


def times_table(times: Times) -> Table:
    table = Table(title="How long it took", title_justify="left", title_style="bold")
    for column in ("", "call to published", "stages, as the run counts them"):
        table.add_column(column)
    for name, wall, stages in (
        ("train v1", times.train, times.train_stages),
        ("erase: v2", times.erase, times.erase_stages),
        ("rebuild: v3", times.rebuild, times.rebuild_stages),
    ):
        table.add_row(name, f"{wall:.1f} s", ", ".join(f"{stage} {seconds:.1f}" for stage, seconds in stages.items()))
    table.caption = f"erase time / training time = {times.ratio:.1%}"
    return table


def checks_table(checks: Iterable[Check]) -> Table:
    table = Table(title="Demands", title_justify="left", title_style="bold", show_header=False)
    for check in checks:
        verdict = Text("met", style="green") if check.is_met else Text("NOT MET", style="bold red")
        table.add_row(verdict, check.demand, check.figure)
    return table


def _table(title: str, first: str, exams: Mapping[str, Marks]) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold")
    for column in (first, *exams):
        table.add_column(column, overflow="fold")
    return table


def _loss(marks: Marks, group: str) -> str:
    right, asked = marks.right(group)
    return f"{marks.loss(group):.3f}  ({right}/{asked})"


def _asked(marks: Marks, group: str) -> Sequence[Mark]:
    return [mark for mark in marks.of(group) if mark.answer is not None]


def _answer(mark: Mark) -> Text:
    return Text((mark.answer or "").strip(), style="green" if mark.is_right else "")
