"""A swap on a vLLM server, double or real: in order, from wherever it was cut off, and nothing is left behind."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest

from service.domain.probes import Probe, ProbeOutcome
from service.domain.serving import Precision, ServerKind, SwapStep
from service.hotswap.directory import Directory
from service.hotswap.servers import AdapterRefused, NotVisible, Server, connect
from service.hotswap.swap import BLANK, Candidate, NoProbe, NotProven, Plan, bring, is_done, swap
from service.store.blobs import Blobs
from tests.support.lora_files import random_tensors, write_adapter
from tests.support.probing import probe_of
from tests.vllm.bed import API_KEY, PROMPT, Bed

pytestmark = pytest.mark.slow

PATIENCE_S = 5.0
ALIAS = "bot@production"


class CutOff(Exception):
    """The process died here."""


@dataclass
class Notes:
    """What was about to be done. The process dies before the step with number `last`."""

    last: int | None = None
    steps: list[tuple[SwapStep, str]] = field(default_factory=list)
    overwritten: dict[str, bool | None] = field(default_factory=dict)

    def __call__(self, step: SwapStep, name: str, *, overwritten: bool | None = None) -> None:
        if len(self.steps) == self.last:
            raise CutOff
        if (step, name) not in self.steps or step is not SwapStep.drain:
            self.steps.append((step, name))
        if step is SwapStep.unload:
            self.overwritten[name] = overwritten


@dataclass
class Shop:
    """Versions in a directory that the server sees."""

    bed: Bed
    server: Server
    root: Path

    def version(self, number: int, previous: Path | None = None, **tensors: np.ndarray) -> Candidate:
        """`bot@v<number>`, with other weights than every other one."""
        source = self.root.parent / f"source-{number}"
        if not source.exists():
            write_adapter(source, {**random_tensors(self.bed.base, 100 + number), **tensors})
        return self.placed(number, source, previous)

    def placed(self, number: int, source: Path, previous: Path | None = None, probe: Probe | None = None) -> Candidate:
        digest = f"{number:064x}"
        blobs = Blobs((self.root.parent / "blobs").as_uri())
        prefix = f"runs/{number}"
        files = blobs.manifest(prefix) if blobs.exists_tree(prefix) else blobs.put_tree(source, prefix)
        Directory(self.root, blobs).place(digest, prefix, files)
        path = self.root / digest
        if probe is None:
            probe = probe_of(lambda _, directory: self.bed.reference(directory), [PROMPT], path, previous)
        return Candidate(f"bot@v{number}", str(path), probe)

    def plan(self, stable: Candidate | None, *others: Candidate, withdrawn: Sequence[Candidate] = ()) -> Plan:
        return Plan(
            line="bot",
            alias=ALIAS,
            stable=stable,
            others=others,
            withdrawn={one.name: one.path for one in withdrawn},
            mount=str(self.root),
            precision=Precision.float32,
        )

    def swap(self, plan: Plan, notes: Notes | None = None) -> Notes:
        notes = notes or Notes()
        swap(self.server, plan, notes, patience_s=PATIENCE_S)
        return notes

    def answers_as(self, name: str, candidate: Candidate) -> bool:
        return self.bed.answers_as(name, Path(candidate.path))

    def holds(self, candidate: Candidate) -> bool:
        return self.bed.holds(Path(candidate.path))


@pytest.fixture
def shop(bed: Bed, tmp_path: Path) -> Iterator[Shop]:
    server = connect(ServerKind.vllm, str(bed.client.base_url), API_KEY)
    yield Shop(bed, server, tmp_path / "serving")
    for name in bed.roots().keys() - {"base"}:
        bed.unload(name)
    server.close()


def test_the_first_version_is_loaded_proven_and_given_the_alias(shop: Shop) -> None:
    first = shop.version(1)
    plan = shop.plan(first)
    proof = swap(shop.server, plan, Notes())
    assert proof is not None
    assert proof.outcome is ProbeOutcome.proven
    assert shop.server.adapters() == {"bot@v1": first.path, ALIAS: first.path}
    assert shop.answers_as(ALIAS, first)
    assert is_done(shop.server, plan)


def test_the_next_one_takes_its_place_in_order_and_leaves_nothing_of_it(shop: Shop) -> None:
    first = shop.version(1)
    second = shop.version(2, previous=Path(first.path))
    shop.swap(shop.plan(first))
    notes = shop.swap(shop.plan(second))
    assert notes.steps == [
        (SwapStep.load, "bot@v2"),
        (SwapStep.probe, "bot@v2"),
        (SwapStep.flip, ALIAS),
        (SwapStep.probe, ALIAS),
        (SwapStep.drain, "bot@v1"),
        (SwapStep.overwrite, "bot@v1"),
        (SwapStep.unload, "bot@v1"),
    ]
    assert notes.overwritten == {"bot@v1": True}
    assert shop.server.adapters() == {"bot@v2": second.path, ALIAS: second.path}
    assert shop.answers_as(ALIAS, second)
    assert shop.answers_as("bot@v2", second)
    assert not shop.holds(first)


@pytest.mark.parametrize("last", range(7))
def test_from_wherever_it_was_cut_off_it_comes_to_the_same_end(shop: Shop, last: int) -> None:
    first, second = shop.version(1), shop.version(2)
    shop.swap(shop.plan(first))
    with pytest.raises(CutOff):
        shop.swap(shop.plan(second), Notes(last))
    # Whoever asks meanwhile gets the one or the other, whole.
    assert shop.answers_as(ALIAS, first) or shop.answers_as(ALIAS, second)
    shop.swap(shop.plan(second))
    assert shop.server.adapters() == {"bot@v2": second.path, ALIAS: second.path}
    assert shop.answers_as(ALIAS, second)
    assert not shop.holds(first)


def test_cut_off_twice_in_the_removal_it_still_knows_that_the_weights_were_overwritten(shop: Shop) -> None:
    first, second = shop.version(1), shop.version(2)
    shop.swap(shop.plan(first))
    with pytest.raises(CutOff):
        shop.swap(shop.plan(second), Notes(6))
    assert shop.server.adapters()["bot@v1"] == first.path + BLANK
    assert shop.swap(shop.plan(second)).overwritten == {"bot@v1": True}


def test_again_it_changes_nothing(shop: Shop) -> None:
    first = shop.version(1)
    shop.swap(shop.plan(first))
    notes = shop.swap(shop.plan(first))
    assert {step for step, _ in notes.steps} == {SwapStep.probe, SwapStep.flip}
    assert shop.answers_as(ALIAS, first)


def test_the_way_back_is_the_same(shop: Shop) -> None:
    first, second = shop.version(1), shop.version(2)
    for candidate in (first, second, first):
        shop.swap(shop.plan(candidate))
    assert shop.server.adapters() == {"bot@v1": first.path, ALIAS: first.path}
    assert shop.answers_as(ALIAS, first)


def test_an_adapter_that_the_server_refuses_leaves_the_old_one_in_service(shop: Shop, tmp_path: Path) -> None:
    first = shop.version(1)
    shop.swap(shop.plan(first))
    high = write_adapter(tmp_path / "high", random_tensors(shop.bed.base, 1, r=32), r=32)
    refused = shop.placed(3, high, probe=first.probe)
    with pytest.raises(AdapterRefused) as raised:
        shop.swap(shop.plan(refused))
    assert raised.value.permanent
    assert shop.server.adapters() == {"bot@v1": first.path, ALIAS: first.path}
    assert shop.answers_as(ALIAS, first)


def test_a_directory_that_the_server_does_not_see_is_worth_another_try(shop: Shop) -> None:
    lost = replace(shop.version(1), path=str(shop.root / f"{9:064x}"))
    with pytest.raises(NotVisible) as raised:
        shop.swap(shop.plan(lost))
    assert not raised.value.permanent


def test_what_answers_like_something_else_is_unloaded_and_never_gets_the_alias(shop: Shop) -> None:
    first, second = shop.version(1), shop.version(2)
    shop.swap(shop.plan(first))
    other = replace(second, probe=shop.version(3).probe)
    with pytest.raises(NotProven):
        shop.swap(shop.plan(other))
    assert shop.server.adapters() == {"bot@v1": first.path, ALIAS: first.path}
    assert not shop.holds(second)


def test_an_adapter_without_effect_is_not_proven(shop: Shop) -> None:
    zero = replace(shop.version(1), path=shop.version(2).path + BLANK)
    with pytest.raises(NotProven):
        shop.swap(shop.plan(zero))
    assert shop.server.adapters() == {}


def test_a_version_that_cannot_be_told_from_the_one_before_is_served_but_not_proven(shop: Shop) -> None:
    first = shop.version(1)
    twin = replace(first, probe=shop.version(1, previous=Path(first.path)).probe)
    proof = swap(shop.server, shop.plan(twin), Notes())
    assert proof is not None
    assert proof.outcome is ProbeOutcome.indistinct


def test_a_version_without_a_probe_is_not_served(shop: Shop) -> None:
    with pytest.raises(NoProbe):
        shop.swap(shop.plan(replace(shop.version(1), probe=None)))
    assert shop.server.adapters() == {}


def test_what_was_withdrawn_goes_even_if_the_new_version_cannot_come(shop: Shop, tmp_path: Path) -> None:
    first = shop.version(1)
    shop.swap(shop.plan(first))
    high = write_adapter(tmp_path / "high", random_tensors(shop.bed.base, 1, r=32), r=32)
    with pytest.raises(AdapterRefused):
        shop.swap(shop.plan(shop.placed(3, high, probe=first.probe), withdrawn=[first]))
    assert shop.server.adapters() == {}
    assert not shop.holds(first)


def test_a_mixture_under_the_alias_is_repaired(shop: Shop, tmp_path: Path) -> None:
    """As a load in place leaves it that failed half-way, with the old path still listed."""
    first = shop.version(1)
    shop.swap(shop.plan(first))
    tensors = random_tensors(shop.bed.base, 2)
    last = max(name for name in tensors if "lora_A" in name)
    tensors[last] = np.pad(tensors[last], ((0, 0), (0, 8)))
    shop.bed.load(ALIAS, write_adapter(tmp_path / "misfit", tensors), load_inplace=True)
    assert not shop.answers_as(ALIAS, first)
    shop.swap(shop.plan(first))
    assert shop.answers_as(ALIAS, first)


def test_a_version_on_trial_is_served_beside_the_other_until_it_is_not_wanted(shop: Shop) -> None:
    first, tried = shop.version(1), shop.version(2)
    plan = shop.plan(first, tried)
    shop.swap(plan)
    bring(shop.server, plan, tried, Notes())
    assert shop.server.adapters() == {"bot@v1": first.path, "bot@v2": tried.path, ALIAS: first.path}
    assert is_done(shop.server, plan)
    shop.swap(shop.plan(first))
    assert not shop.holds(tried)
    assert shop.answers_as(ALIAS, first)


def test_when_nothing_is_wanted_nothing_stays(shop: Shop) -> None:
    first = shop.version(1)
    shop.swap(shop.plan(first))
    notes = shop.swap(shop.plan(None))
    assert notes.overwritten == {"bot@v1": True, ALIAS: True}
    assert shop.server.adapters() == {}
    assert not shop.holds(first)


def test_other_lines_are_left_alone(shop: Shop, adapter: Callable[..., Path]) -> None:
    directory = adapter(shop.bed, 5)
    shop.bed.load("robot@v1", directory)
    first = shop.version(1)
    shop.swap(shop.plan(first))
    shop.swap(shop.plan(None))
    assert shop.server.adapters() == {"robot@v1": str(directory)}
