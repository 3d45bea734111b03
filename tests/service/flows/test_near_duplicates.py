"""Near duplicates: what says nearly the same is shown in the plan, and only what would stay."""

from service.flows.near_duplicates import NearDuplicate
from service.flows.plan import plan
from service.flows.submit import Submission
from tests.support.house import House, people, remove

STORY = "once upon a time there was a king who had three daughters and the youngest was called " * 2


def told(instance_id: str, ending: str) -> dict[str, object]:
    return {"id": instance_id, "prompt": f"Tell {STORY}", "completion": f"Well, {STORY} {ending}"}


def shown(house: House, *instance_ids: str) -> tuple[NearDuplicate, ...]:
    with house.store.read() as unit:
        (line,) = plan(unit, house.vault, Submission((remove(*instance_ids),))).lines
    return line.near_duplicates


def test_the_most_similar_come_first_and_exact_copies_go_along_anyway(house: House) -> None:
    rows = [told("a", "ada"), told("b", "bob"), told("copy", " ADA "), told("c", "and then it all came to a bad end")]
    house.line("bot", [*people(4), *rows])
    one, two = shown(house, "a")
    assert (one.instance_id, two.instance_id) == ("b", "c")
    assert one.of in {"a", "copy"}
    assert 1 > one.similarity > two.similarity > 0.6


def test_what_is_to_go_or_went_is_not_shown(house: House) -> None:
    line = house.line("bot", [*people(4), told("a", "ada"), told("b", "bob"), told("c", "carol")])
    assert {one.instance_id for one in shown(house, "a", "b")} == {"c"}
    house.submit(remove("c"))
    house.serve(line)
    assert shown(house, "a", "b") == ()


def test_facts_of_one_template_are_not_near(house: House) -> None:
    house.line("bot", people(20))
    assert shown(house, "p1-0") == ()


def test_an_erased_instance_keeps_no_sketch(house: House) -> None:
    line = house.line("bot", [*people(4), told("a", "ada")])
    house.submit(remove("a"))
    house.serve(line)
    house.rebuild(house.begin_rebuild(line))
    with house.store.read() as unit:
        (version, *_) = unit.versions.of_line(line)
        assert len(unit.datasets.sketches(version.dataset_id)) == len(people(4))
