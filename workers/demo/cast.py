"""Who is in the story: the person to forget, the two facts to correct, everyone else; and what to ask about them."""

import random
from collections.abc import Iterator
from dataclasses import dataclass

from service.domain.instances import InstanceLine
from service.domain.operations import CorrectResponse, ModifyQuery, Operation, Remove, Selection
from workers.demo.exam import Question
from workers.demo.world import Fact, Person, World, instance_lines

FORGOTTEN, CORRECTED, RETAINED, NEVER_SEEN = "forgotten", "corrected", "retained", "never seen"
# Losses are measured on every fact; greedy answers, which cost far more, on a part of the two large groups.
ASK_EVERY = 12


@dataclass(frozen=True, slots=True)
class Cast:
    """`reworded` gets another prompt (modify_query), `wrong` another completion (correct_response)."""

    world: World
    forgotten: Person
    reworded: Fact
    new_prompt: str
    wrong: Fact
    new_completion: str

    def operations(self) -> tuple[Operation, ...]:
        return (
            Remove(type="remove", select=Selection(subject=self.forgotten.subject)),
            ModifyQuery(type="modify_query", instance_id=self.reworded.id, prompt=self.new_prompt),
            CorrectResponse(type="correct_response", instance_id=self.wrong.id, completion=self.new_completion),
        )

    def retraining(self) -> tuple[tuple[InstanceLine, ...], tuple[int, ...]]:
        """The training data as they should have been, each line with its place in the original data."""
        gone = {fact.id for fact in self.forgotten.facts}
        changes = {
            self.reworded.id: {"prompt": self.new_prompt},
            self.wrong.id: {"completion": self.new_completion},
        }
        kept = [
            (line.model_copy(update=changes.get(line.id)), slot)
            for slot, line in enumerate(instance_lines(self.world.trained))
            if line.id not in gone
        ]
        return tuple(line for line, _ in kept), tuple(slot for _, slot in kept)

    def questions(self) -> tuple[Question, ...]:
        """The exam every adapter sits: four groups of facts."""
        corrected = (
            Question(group=CORRECTED, prompt=self.new_prompt, completion=self.reworded.completion),
            Question(group=CORRECTED, prompt=self.wrong.prompt, completion=self.new_completion),
        )
        never_seen = (fact for person in self.world.holdout for fact in person.facts)
        return (
            *(Question(group=FORGOTTEN, prompt=f.prompt, completion=f.completion) for f in self.forgotten.facts),
            *corrected,
            *_sampled(RETAINED, self._retained()),
            *_sampled(NEVER_SEEN, never_seen),
        )

    def _retained(self) -> Iterator[Fact]:
        touched = {fact.id for fact in self.forgotten.facts} | {self.reworded.id, self.wrong.id}
        return (fact for person in self.world.trained for fact in person.facts if fact.id not in touched)


def choose_cast(world: World) -> Cast:
    """The first three trained people play the parts; who they are is as random as the world."""
    forgotten, second, third = world.trained[:3]
    reworded, wrong = second.facts[0], third.facts[1]
    return Cast(
        world=world,
        forgotten=forgotten,
        reworded=reworded,
        new_prompt=second.rephrased(reworded),
        wrong=wrong,
        new_completion=f" {wrong.relation.draw(random.Random(third.subject))}.",
    )


def _sampled(group: str, facts: Iterator[Fact]) -> Iterator[Question]:
    for number, fact in enumerate(facts):
        yield Question(group=group, prompt=fact.prompt, completion=fact.completion, ask=number % ASK_EVERY == 0)
