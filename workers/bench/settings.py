"""Where a benchmark takes place: a base model, training data with subjects, and recipes."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from service.domain.adapters import Recipe, TrainingFormat
from service.domain.engine import Base, Example, TrainingSet
from service.domain.instances import Content
from workers.bench import authors
from workers.demo.base_model import base_model_of, ensure_base_model
from workers.demo.world import RECIPE, Person, make_world

# Many epochs, after which every answer is known by heart, and few, after which most is only half learnt.
REGIMES = ("memorised", "ordinary")
ORDINARY_EPOCHS = 6
TOFU_VOCABULARY = 2000
# Whose facts are trained on, and how many of them where it is to be quick.
PEOPLE, FEW_PEOPLE = 60, 24


def _anything(content: Content) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class Setting:
    """`subjects` groups the training instances, `kinds` tells which of them ask the same of someone else.

    `reworded` has the same question in other words, by instance id, where there is one. `fits` tells whether a
    content that no instance has yet can be trained on.
    """

    name: str
    data: TrainingSet
    subjects: Mapping[str, tuple[str, ...]]
    kinds: Mapping[str, str]
    reworded: Mapping[str, Content]
    recipes: Mapping[str, Recipe]
    fits: Callable[[Content], bool] = _anything


def generated(cache: Path, people: int = PEOPLE) -> Setting:
    """The demo's world of fictitious people; its base model is trained on first use and kept in `cache`."""
    world = make_world(trained=PEOPLE)
    trained = world.trained[:people]
    examples = _examples(trained)
    data = TrainingSet(
        base=Base(str(ensure_base_model(world, cache).resolve()), None, None),
        format=TrainingFormat(),
        examples=examples,
        slots=tuple(range(len(examples))),
        slot_count=len(examples),
        holdout=_examples(world.holdout),
    )
    return Setting(
        name="generated" if people == PEOPLE else f"generated, {people} people",
        data=data,
        subjects={person.subject: tuple(fact.id for fact in person.facts) for person in trained},
        kinds={fact.id: fact.relation.name for person in trained for fact in person.facts},
        reworded={
            fact.id: Content(prompt=person.rephrased(fact), completion=fact.completion)
            for person in trained
            for fact in person.facts
        },
        recipes=regimes(RECIPE),
    )


def tofu(directory: Path, cache: Path) -> Setting:
    """A part of TOFU, on a base model that has read only other authors of it; trained on first use as above."""
    read = authors.read(directory)
    examples = _rows(read.trained)
    data = TrainingSet(
        base=Base(str(base_model_of(list(read.others), cache, TOFU_VOCABULARY).resolve()), None, None),
        # All that the base has room for: an answer given to another question can be twice as long as usual.
        format=TrainingFormat(max_length=256),
        examples=examples,
        slots=tuple(range(len(examples))),
        slot_count=len(examples),
        holdout=_rows(read.holdout),
    )
    return Setting(
        name="tofu",
        data=data,
        subjects={author.name: tuple(row.id for row in author.rows) for author in read.trained},
        # Rows are in no common order, so that any author's answer is as good a wrong one as another's.
        kinds=dict.fromkeys((example.id for example in examples), "answer"),
        reworded={row.id: row.reworded for author in read.trained for row in author.rows if row.reworded is not None},
        recipes=regimes(RECIPE),
    )


def regimes(memorised: Recipe) -> dict[str, Recipe]:
    ordinary = memorised.model_copy(update={"epochs": min(ORDINARY_EPOCHS, memorised.epochs)})
    return dict(zip(REGIMES, (memorised, ordinary), strict=True))


def _examples(people: Iterable[Person]) -> tuple[Example, ...]:
    return tuple(
        Example(fact.id, Content(prompt=fact.prompt, completion=fact.completion), person.subject)
        for person in people
        for fact in person.facts
    )


def _rows(people: Iterable[authors.Author]) -> tuple[Example, ...]:
    return tuple(Example(row.id, row.content, author.name) for author in people for row in author.rows)
