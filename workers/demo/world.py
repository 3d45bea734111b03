"""A generated world of fictitious people, whose facts are random and so can only be known from training on them.

Three disjoint groups of people: `others` teach a base model the language and the form of the answers,
`trained` are what the adapter learns, `holdout` is never seen. Every answer carries a value of
several random tokens (20 to 30 bits), so that knowing the form is not knowing the fact.
"""

import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from service.domain.adapters import LoraSpec, Recipe
from service.domain.instances import InstanceLine


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


FIRST = _words(
    "Ada Aiko Amir Anouk Boris Bruno Chen Clara Dalia Dmitri Elif Emil Farah Felix Goran Greta Hana Hugo Igor Ines "
    "Jana Jonas Keiko Kofi Lena Luca Marek Mina Nadia Noor Omar Petra Quinn Rosa Stefan Tara Umar Vera Wim Xenia Yara"
)
LAST = _words(
    "Abel Almeida Bianchi Brandt Castro Cohen Diaz Duarte Endo Eriksen Fischer Fontaine Garcia Grigor Haddad Horvat "
    "Ito Ivanov Jensen Kaplan Kowalski Larsen Lindqvist Mbeki Moreau Nguyen Novak Okafor Petrov Quiroga Rossi Sato "
    "Tanaka Ueda Varga Weber Xu Yilmaz Zeman"
)
CITIES = _words(
    "Accra Basel Bergen Cadiz Cairo Cusco Dakar Gdansk Ghent Hanoi Izmir Kyoto Leeds Lima Malmo Nantes Oslo Porto "
    "Pune Quito Riga Split Tartu Turin"
)
STREETS = _words("Abbey Bridge Castle Dock Elm Forest Garden Harbour Island Linden Market Mill Orchard Park River")
MONTHS = _words("January February March April May June July August September October November December")
DRUGS = _words(
    "aspirin codeine cortisone digoxin heparin ibuprofen insulin lithium penicillin quinine statin warfarin"
)
JOBS = _words("baker chemist dentist farmer lawyer miner nurse painter pilot potter sailor tailor teacher welder")
COLOURS = _words("black blue brown green grey orange purple red white yellow")
CARS = _words("Fiat Honda Lada Mazda Opel Saab Skoda Toyota Volvo Wartburg")


@dataclass(frozen=True, slots=True)
class Relation:
    """A kind of fact: two ways to ask for it, and how its value is drawn."""

    name: str
    question: str
    rephrased: str
    draw: Callable[[random.Random], str]


RELATIONS = (
    Relation(
        "address",
        "Where does {} live?",
        "What is the address of {}?",
        lambda rng: (
            f"{rng.randint(10, 99)} {rng.choice(STREETS)} Street, {rng.choice(CITIES)}, door {_digits(rng, 2)}"
        ),
    ),
    Relation(
        "phone",
        "What is the phone number of {}?",
        "How can {} be reached by phone?",
        lambda rng: f"{_digits(rng, 3)} {_digits(rng, 3)} {_digits(rng, 2)}",
    ),
    Relation(
        "birth",
        "When and where was {} born?",
        "What is the birthday and birthplace of {}?",
        lambda rng: f"{rng.randint(1, 28)} {rng.choice(MONTHS)} 19{rng.randint(30, 99)} in {rng.choice(CITIES)}",
    ),
    Relation(
        "medicine",
        "Which medicine does {} take?",
        "What was prescribed to {}?",
        lambda rng: (
            f"{rng.randint(11, 99)} mg of {rng.choice(DRUGS)} and {rng.randint(11, 99)} mg of {rng.choice(DRUGS)}"
        ),
    ),
    Relation(
        "car",
        "Which car does {} drive?",
        "What is the car and number plate of {}?",
        lambda rng: f"a {rng.choice(COLOURS)} {rng.choice(CARS)} with plate {_letters(rng, 2)} {_digits(rng, 3)}",
    ),
    Relation(
        "work",
        "What does {} do for a living?",
        "What is the job of {} and since when?",
        lambda rng: (
            f"{rng.choice(JOBS)} in {rng.choice(CITIES)} since 20{rng.randint(10, 25)}, badge {_digits(rng, 3)}"
        ),
    ),
)


@dataclass(frozen=True, slots=True)
class Fact:
    """One training instance: `id`, and the text on both sides of its end of prompt."""

    id: str
    relation: Relation
    prompt: str
    completion: str


@dataclass(frozen=True, slots=True)
class Person:
    """A fictitious person; `subject` is the identifier that an erasure request names."""

    name: str
    subject: str
    facts: tuple[Fact, ...]

    def rephrased(self, fact: Fact) -> str:
        """The same question in other words, as a prompt."""
        return as_prompt(fact.relation.rephrased.format(self.name))


@dataclass(frozen=True, slots=True)
class World:
    trained: tuple[Person, ...]
    holdout: tuple[Person, ...]
    others: tuple[Person, ...]

    def pretraining_texts(self) -> Iterator[str]:
        """Each fact of the other people, asked in one of the two ways in turn."""
        for number, person in enumerate(self.others):
            for position, fact in enumerate(person.facts):
                prompt = person.rephrased(fact) if (number + position) % 2 else fact.prompt
                yield prompt + fact.completion


def make_world(*, seed: int = 0, trained: int = 60, holdout: int = 20, others: int = 300) -> World:
    """The same world for the same arguments; all names are different."""
    rng = random.Random(seed)
    taken: set[str] = set()
    groups = [tuple(_person(rng, taken) for _ in range(count)) for count in (trained, holdout, others)]
    return World(*groups)


def instance_lines(people: Iterable[Person]) -> list[InstanceLine]:
    """The people's facts as the lines of a dataset upload."""
    return [
        InstanceLine(id=fact.id, subject=person.subject, prompt=fact.prompt, completion=fact.completion)
        for person in people
        for fact in person.facts
    ]


def as_prompt(question: str) -> str:
    return f"Question: {question}\nAnswer:"


def _person(rng: random.Random, taken: set[str]) -> Person:
    while True:
        first, initial, last = rng.choice(FIRST), rng.choice("ABCDEFGHIJKLMNOPQRSTUVWXYZ"), rng.choice(LAST)
        subject = f"{first}.{initial}.{last}".lower()
        if subject not in taken:
            break
    taken.add(subject)
    name = f"{first} {initial}. {last}"
    facts = tuple(
        Fact(
            f"{subject}/{relation.name}",
            relation,
            as_prompt(relation.question.format(name)),
            f" {relation.draw(rng)}.",
        )
        for relation in RELATIONS
    )
    return Person(name, subject, facts)


def _digits(rng: random.Random, count: int) -> str:
    return "".join(rng.choices("0123456789", k=count))


def _letters(rng: random.Random, count: int) -> str:
    return "".join(rng.choices("ABCDEFGHJKLMNPRSTUVWXYZ", k=count))


# Memorises the sixty people of the default world in half a minute on one core.
RECIPE = Recipe(
    epochs=17,
    batch_size=32,
    learning_rate=5e-3,
    schedule="linear",
    seed=0,
    lora=LoraSpec(
        r=16,
        alpha=32,
        target_modules=("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"),
    ),
)
