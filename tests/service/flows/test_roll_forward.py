"""Back to an older recipe as a new version: what was erased since stays erased, what was corrected stays so."""

import pytest

from service.domain.adapters import ClaimLevel, Recipe, Strategy
from service.domain.engine import TrainJob
from service.domain.errors import Busy, Conflict, NotFound, Suppressed
from service.domain.runs import Lane
from service.domain.states import VersionState
from service.flows.assemble import assemble
from service.flows.claim import Claim
from service.flows.publish import publish_first_anchor
from service.flows.roll_forward import plan_roll_forward, roll_forward
from service.flows.withdraw import withdraw
from service.store.tables import Version
from tests.support.house import ACTOR, House, correct, people, remove, remove_subject

OTHER = Recipe(epochs=7, batch_size=4, learning_rate=2e-3)


def begin(house: House, line: str, version: str) -> Claim:
    with house.store.write() as unit:
        roll_forward(unit, "bot", version, actor=ACTOR)
    return house.claim_queued(line, Lane.compact)


def finish(house: House, claimed: Claim) -> None:
    with house.store.write() as unit:
        publish_first_anchor(unit, house.vault, claimed, house.staged_anchor())


def job(house: House, claimed: Claim) -> TrainJob:
    with house.store.read() as unit:
        made = assemble(unit, house.vault, claimed, materialise=lambda prefix: house.directory, out=house.directory)
    assert isinstance(made, TrainJob)
    return made


def version_of(house: House, line: str, number: int) -> Version:
    with house.store.read() as unit:
        version = unit.versions.by_number(line, number)
        assert version is not None
        return version


def test_the_old_recipe_is_trained_without_what_was_erased_since(house: House) -> None:
    line = house.line("bot", people(8))
    house.submit(remove_subject("Person 0"), correct("p1-0", "Better."))
    house.serve(line)
    claimed = begin(house, line, "v1")
    trained = {example.id: example.content.completion for example in job(house, claimed).data.examples}
    assert not {"p0-0", "p0-1"} & trained.keys()
    assert trained["p1-0"] == "Better."
    assert len(trained) == 14


def test_it_keeps_the_order_of_the_data(house: House) -> None:
    line = house.line("bot", people(4))
    house.submit(remove("p1-0"))
    house.serve(line)
    data = job(house, begin(house, line, "v1")).data
    assert (data.slots, data.slot_count) == ((0, 1, 3, 4, 5, 6, 7), 8)


def test_it_serves_and_makes_earlier_erasures_exact(house: House) -> None:
    line = house.line("bot", people(8))
    request = house.submit(remove("p0-0"))
    house.serve(line)
    finish(house, begin(house, line, "v1"))
    made = version_of(house, line, 3)
    assert (made.state, made.source["rolls_forward"]) == (VersionState.ready, 1)
    (target,) = house.targets(request)
    assert target.claim_level is ClaimLevel.exact
    with house.store.read() as unit:
        alias = unit.lines.alias(line, "production")
        assert alias is not None
        assert alias.version_id == made.id


def test_a_request_after_it_is_solved_from_what_it_was_trained_on(house: House) -> None:
    line = house.line("bot", people(8))
    house.submit(remove("p0-0"))
    house.serve(line)
    finish(house, begin(house, line, "v1"))
    house.submit(remove("p1-0"), strategy=Strategy.rebuild)
    claimed = house.claim_queued(line, Lane.compact)
    assert {"p0-0", "p1-0"}.isdisjoint(example.id for example in job(house, claimed).data.examples)


def test_back_to_the_recipe_of_another_training(house: House) -> None:
    rows = people(6)
    line = house.line("bot", rows)
    with house.store.read() as unit:
        dataset = str(unit.versions.get(str(unit.lines.get(line).anchor_id)).dataset_id)
    house.train("bot", dataset, recipe=OTHER)
    assert job(house, begin(house, line, "v1")).recipe.epochs != OTHER.epochs


def test_a_withdrawn_version_can_be_rolled_forward(house: House) -> None:
    line = house.line("bot", people(6))
    house.submit(remove("p0-0"))
    house.serve(line)
    with house.store.write() as unit:
        withdraw(unit, "bot", ["v1"], actor=ACTOR)
    begin(house, line, "v1")


def test_an_erasure_during_the_training_rejects_it(house: House) -> None:
    line = house.line("bot", people(8))
    claimed = begin(house, line, "v1")
    house.submit(remove("p0-0"))
    house.serve(line)
    finish(house, claimed)
    rejected = version_of(house, line, 2)
    assert rejected.state is VersionState.rejected
    assert rejected.rejection is not None
    assert rejected.rejection["code"] == "erased-meanwhile"


def test_what_another_line_had_erased_everywhere_is_not_brought_back(house: House) -> None:
    rows = people(6)
    line = house.line("bot", rows)
    other = house.line("other", people(6))
    house.submit(remove_subject("Person 0"), adapters=["other"])
    house.serve(other)
    with house.store.read() as unit:
        assert plan_roll_forward(unit, unit.lines.get(line), "v1").instances == 12
    # A request that names no line binds every line, those trained on other data meanwhile too.
    house.train("bot", house.dataset(people(12)[4:]))
    house.submit(remove_subject("Person 1"))
    house.serve(other)
    with house.store.write() as unit, pytest.raises(Suppressed) as refused:
        roll_forward(unit, "bot", "v1", actor=ACTOR)
    assert refused.value.extra == {"instances": 2}


def test_the_plan_says_what_would_be_trained(house: House) -> None:
    line = house.line("bot", people(8), seconds=100.0)
    house.submit(remove_subject("Person 0"))
    house.serve(line)
    with house.store.read() as unit:
        planned = plan_roll_forward(unit, unit.lines.get(line), "v1")
    assert (planned.instances, planned.replayed) == (14, 2)
    assert planned.estimated_s == pytest.approx(150.0 * 14 / 16)


def test_what_cannot_be_rolled_forward(house: House) -> None:
    line = house.line("bot", people(6), recipe=None)
    with house.store.write() as unit, pytest.raises(Conflict) as refused:
        roll_forward(unit, "bot", "v1", actor=ACTOR)
    assert refused.value.code == "not-rebuildable"
    with house.store.write() as unit, pytest.raises(NotFound):
        roll_forward(unit, "bot", "v9", actor=ACTOR)
    assert house.queued_run(line, Lane.compact) is None


def test_not_beside_open_requests_or_another_training(house: House) -> None:
    line = house.line("bot", people(6))
    house.submit(remove("p0-0"))
    with house.store.write() as unit, pytest.raises(Busy):
        roll_forward(unit, "bot", "v1", actor=ACTOR)
    house.serve(line)
    begin(house, line, "v1")
    with house.store.write() as unit, pytest.raises(Busy):
        roll_forward(unit, "bot", "v1", actor=ACTOR)
