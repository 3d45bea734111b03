"""Plans: what a request would do."""

from datetime import datetime

from pydantic import Field

from service.api.schemas.common import Output
from service.domain.adapters import ClaimLevel, Strategy
from service.domain.engine import Grade
from service.domain.scheduling import Wait


class NearDuplicateRead(Output):
    instance: str = Field(description="An instance that would stay.", examples=["row-18"])
    of: str = Field(description="The one that would be forgotten and is most like it.", examples=["row-17"])
    similarity: float = Field(
        description="Estimated share of the runs of three words that they have in common, 0 to 1.", examples=[0.86]
    )


class LinePlanRead(Output):
    adapter: str = Field(description="The line.", examples=["support-bot"])
    version: str = Field(description="Its version now.", examples=["v2"])
    removals: int = Field(description="Instances that would be forgotten, duplicates included.", examples=[12])
    corrections: int = Field(description="Instances that would be changed.", examples=[0])
    exact_duplicates: int = Field(description="Removals that are copies of a selected instance.", examples=[1])
    share: float = Field(description="Part of the line's training data, 0 to 1.", examples=[0.0025])
    strategy: Strategy = Field(description="How the line would answer.", examples=["influence"])
    reason: str = Field(description="Why that strategy.", examples=["As requested."])
    needs_approval: bool = Field(description="Whether somebody has to approve first.", examples=[False])
    retires_line: bool = Field(description="Whether nothing would be left to train on.", examples=[False])
    starts_at: datetime | None = Field(
        description="When its run may begin at the earliest, as far as is known now; null if it waits for approval."
    )
    waiting_for: Wait | None = Field(
        description="What the policy has it wait for until then; null: nothing.", examples=["window"]
    )
    estimated_seconds: float | None = Field(description="Estimated run time; null if unknown.", examples=[4.2])
    claim_level: ClaimLevel = Field(description="The level it can reach in the end.", examples=["E"])
    grade: Grade | None = Field(
        description="How well the line is prepared for an influence update of this kind; null if it supports none.",
        examples=["trajectory"],
    )
    predicted_fidelity: float | None = Field(
        description="How far from a retrain such an update is expected to end: 1 is as far as another retrain. "
        "Null if that was never measured on this line.",
        examples=[1.2],
    )
    near_duplicates: list[NearDuplicateRead] = Field(
        description="Instances that would stay although they say nearly the same, most similar first, at most a "
        "hundred: add those to the request that should go too. Rows of older datasets are not compared.",
    )


class PlanRead(Output):
    """What a request with this body would do now. Nothing was changed."""

    lines: list[LinePlanRead] = Field(description="The lines it would affect.")
    unindexed: list[str] = Field(
        description="Lines whose data name no subjects, so that a subject cannot be looked up there.",
        examples=[["legacy-bot"]],
    )
