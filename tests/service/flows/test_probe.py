"""A version keeps the probe that was made for it, and is told from what it replaces; what fails the gate is none."""

from pathlib import Path

import pytest

from service.domain.engine import EngineFailure, FailureClass, InfluenceJob, Published, TrainJob
from service.domain.errors import Conflict, Gone, NotFound
from service.domain.probes import Expected, Probe, ProbePrompt
from service.domain.runs import Lane, RunKind
from service.domain.states import RequestState, VersionState
from service.flows.assemble import assemble
from service.flows.claim import Claim
from service.flows.fail import fail
from service.flows.probe import probe_of
from service.flows.staged import StoredTree
from service.flows.withdraw import withdraw
from tests.support.house import ACTOR, House, people, remove

REFUSED = EngineFailure(FailureClass.permanent, "publish-gate-answers", "The exported version is not published.")


def probe_of_tree(tree: StoredTree) -> Probe:
    """One that names the adapter it was made for."""
    prompt = ProbePrompt(token_ids=(5, 9), expected=(Expected(token_id=1, version=-0.5, base=-2.0),))
    return Probe(prompts=(prompt,), previous=tree.prefix)


@pytest.fixture
def probing(house: House, monkeypatch: pytest.MonkeyPatch) -> House:
    """A house whose worker makes probes."""
    monkeypatch.setattr(house, "probe", probe_of_tree)
    return house


def replaced(house: House, claimed: Claim) -> list[str]:
    """The names of what the claimed job's version is told from; the adapters are the files of these versions."""
    with house.store.read() as unit:
        job = assemble(unit, house.vault, claimed, materialise=Path, out=house.directory)
        assert isinstance(job, TrainJob | InfluenceJob)
        prefixes = {f"bot@v{v.number}": v.blob_prefix for v in unit.versions.of_line(claimed.line_id)}
    assert all(one == Published(one.name, Path(str(prefixes[one.name]))) for one in job.replaces)
    return [one.name for one in job.replaces]


def test_every_version_keeps_its_own(probing: House) -> None:
    line = probing.line("bot", people(8))
    probing.submit(remove("p0-0"))
    probing.serve(line)
    claimed = probing.begin_rebuild(line)
    probing.submit(remove("p1-0"))
    probing.serve(line)
    assert probing.rebuild(claimed, probing.staged_answer(claimed, solved=2)) is None
    with probing.store.read() as unit:
        versions = unit.versions.of_line(line)
        assert [version.kind for version in versions] == ["train", "influence", "influence", "rebuild", "influence"]
        assert all(version.probe is not None for version in versions)
        assert [str((version.probe or {})["previous"]) for version in versions] == [v.blob_prefix for v in versions]


def test_it_is_handed_out_while_the_version_is_in_service(probing: House) -> None:
    line = probing.line("bot", people(8))
    probing.submit(remove("p0-0"))
    probing.serve(line)
    with probing.store.write() as unit:
        first, second = unit.versions.of_line(line)
        assert probe_of(second).previous == second.blob_prefix
        withdraw(unit, "bot", ["v1"], actor=ACTOR)
        with pytest.raises(Gone):
            probe_of(first)
        second.state = VersionState.preparing
        with pytest.raises(Conflict):
            probe_of(second)


def test_versions_of_the_past_have_none(house: House) -> None:
    line = house.line("bot", people(8))
    with house.store.read() as unit, pytest.raises(NotFound) as caught:
        probe_of(unit.versions.of_line(line)[0])
    assert caught.value.code == "no-probe"


def test_a_new_version_is_told_from_the_newest_one_and_the_anchor(house: House) -> None:
    line = house.line("bot", people(8))
    house.submit(remove("p0-0"))
    first = house.claim_queued(line)
    assert replaced(house, first) == ["bot@v1"]
    house.answer(first)
    house.submit(remove("p1-0"))
    second = house.claim_queued(line)
    assert replaced(house, second) == ["bot@v2", "bot@v1"]
    house.answer(second)
    third = house.begin_rebuild(line)
    assert replaced(house, third) == ["bot@v3", "bot@v1"]


def test_a_quarantined_anchor_still_counts(house: House) -> None:
    line = house.line("bot", people(8))
    house.submit(remove("p0-0"))
    house.serve(line)
    with house.store.write() as unit:
        withdraw(unit, "bot", ["v1"], actor=ACTOR)
    house.submit(remove("p1-0"))
    assert replaced(house, house.claim_queued(line)) == ["bot@v2", "bot@v1"]


def test_an_update_that_fails_the_gate_moves_nothing_and_is_rebuilt(house: House) -> None:
    line = house.line("bot", people(8))
    request = house.submit(remove("p0-0"))
    claimed = house.claim_queued(line)
    with house.store.write() as unit:
        fail(unit, claimed, REFUSED)
    with house.store.read() as unit:
        (only,) = unit.versions.of_line(line)
        alias = unit.lines.alias(line, "production")
        assert alias is not None
        assert alias.version_id == only.id
        run = unit.runs.queued(line, Lane.compact)
        assert run is not None
        assert run.kind is RunKind.rebuild
    again = house.claim_queued(line, Lane.compact)
    with house.store.write() as unit:
        fail(unit, again, REFUSED)
    assert house.request(request).state is RequestState.needs_attention
    failure = house.targets(request)[0].failure
    assert failure is not None
    assert failure["code"] == "publish-gate-answers"
