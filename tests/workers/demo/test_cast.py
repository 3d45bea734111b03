"""The story's parts fit together: what is asked of the service is what the oracle is trained without."""

from collections import Counter

from service.domain.operations import CorrectResponse, ModifyQuery, Remove
from workers.demo.cast import CORRECTED, FORGOTTEN, NEVER_SEEN, RETAINED, choose_cast
from workers.demo.world import instance_lines, make_world

WORLD = make_world(trained=5, holdout=2, others=0)
CAST = choose_cast(WORLD)


def test_the_request_mixes_all_three_operations() -> None:
    assert [type(operation) for operation in CAST.operations()] == [Remove, ModifyQuery, CorrectResponse]


def test_the_retraining_lacks_the_person_and_has_the_corrections_in_place() -> None:
    original = instance_lines(WORLD.trained)
    lines, slots = CAST.retraining()
    assert {line.subject for line in original} - {line.subject for line in lines} == {CAST.forgotten.subject}
    assert [original[slot].id for slot in slots] == [line.id for line in lines], "everyone else keeps the slot"
    changed = {line.id: line for line, slot in zip(lines, slots, strict=True) if line != original[slot]}
    assert changed.keys() == {CAST.reworded.id, CAST.wrong.id}
    assert changed[CAST.reworded.id].prompt == CAST.new_prompt
    assert changed[CAST.wrong.id].completion == CAST.new_completion


def test_every_fact_is_examined_once_in_its_group() -> None:
    questions = CAST.questions()
    counts = Counter(question.group for question in questions)
    assert counts == {FORGOTTEN: 6, CORRECTED: 2, RETAINED: 5 * 6 - 8, NEVER_SEEN: 12}
    assert all(q.ask for q in questions if q.group in (FORGOTTEN, CORRECTED))
    assert any(q.ask for q in questions if q.group == RETAINED)
