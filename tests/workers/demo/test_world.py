"""The world must be a fair test: unknown people, facts that cannot be guessed, the same every time."""

from pathlib import Path

import pytest
from transformers import AutoTokenizer

from service.domain.adapters import TrainingFormat
from service.domain.instances import Content, Message
from workers.demo import base_model
from workers.demo.base_model import ensure_base_model
from workers.demo.world import RELATIONS, World, instance_lines, make_world
from workers.engine.tokens import encode

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def world() -> World:
    return make_world()


def test_the_same_seed_gives_the_same_world(world: World) -> None:
    assert make_world() == world
    assert make_world(seed=1).trained != world.trained


def test_nobody_is_in_two_groups(world: World) -> None:
    groups = [{person.name for person in group} for group in (world.trained, world.holdout, world.others)]
    assert len(set.union(*groups)) == sum(len(group) for group in groups) == 60 + 20 + 300


def test_a_dataset_line_names_its_subject(world: World) -> None:
    lines = instance_lines(world.trained)
    assert len(lines) == 60 * len(RELATIONS)
    assert len({line.id for line in lines}) == len(lines)
    assert {line.subject for line in lines} == {person.subject for person in world.trained}


def test_no_value_can_be_guessed_from_its_relation() -> None:
    """Each relation draws from at least 2^12 values: a hundred draws of one relation hardly repeat."""
    people = make_world(trained=300).trained
    for position, _ in enumerate(RELATIONS):
        completions = [person.facts[position].completion for person in people]
        assert len(set(completions)) > 0.9 * len(completions)


def test_pretraining_speaks_of_other_people_only(world: World) -> None:
    texts = "\n".join(world.pretraining_texts())
    for person in (*world.trained, *world.holdout):
        assert person.name not in texts


@pytest.fixture
def small_base(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The real procedure, five steps of it."""
    monkeypatch.setattr(base_model, "STEPS", 5)
    return ensure_base_model(make_world(others=20), tmp_path)


def test_the_base_is_trained_once_and_kept(small_base: Path, tmp_path: Path) -> None:
    written = (small_base / "model.safetensors").stat().st_mtime_ns
    assert ensure_base_model(make_world(others=20), tmp_path) == small_base
    assert (small_base / "model.safetensors").stat().st_mtime_ns == written
    assert [path.name for path in tmp_path.iterdir()] == [small_base.name]


def test_a_chat_and_a_pair_are_the_same_tokens_with_the_same_loss(small_base: Path, world: World) -> None:
    tokenizer = AutoTokenizer.from_pretrained(small_base)
    fact = world.trained[0].facts[0]
    question = fact.prompt.removeprefix("Question: ").removesuffix("\nAnswer:")
    pair = encode(tokenizer, Content(prompt=fact.prompt, completion=fact.completion), TrainingFormat())
    chat = encode(
        tokenizer,
        Content(
            messages=(
                Message(role="user", content=question),
                Message(role="assistant", content=fact.completion.removeprefix(" ")),
            )
        ),
        TrainingFormat(),
    )
    assert chat == pair
    assert pair.label_count == len(tokenizer(fact.completion)["input_ids"]) + 1
