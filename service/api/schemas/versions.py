"""Versions of adapter lines: where they come from and what they are."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from service.api.schemas.adapters import CapabilityRead
from service.api.schemas.common import Failure, FileDigest, Input, JsonObject, Output, Page
from service.domain.adapters import ClaimLevel, Recipe, TrainingFormat
from service.domain.scalars import Real
from service.domain.states import VersionState

DatasetId = Annotated[str, Field(max_length=48, examples=["ds_0192f1c4a1b27c3d8e4f5a6b7c8d9e0f"])]


class TrainSource(Input):
    """Train the adapter here."""

    type: Literal["train"] = Field(description="Train here.")
    dataset: DatasetId = Field(description="What it is trained on.")
    holdout: DatasetId | None = Field(
        default=None, description="Never-seen instances, for calibration, under ids of their own."
    )
    recipe: Recipe = Field(default=Recipe(), description="How it is trained.")
    training_format: TrainingFormat = Field(
        default=TrainingFormat(), description="How an instance becomes tokens and a loss."
    )


class ImportSource(Input):
    """Take over an adapter that was trained elsewhere. Its training loss is reproduced, or it is rejected."""

    type: Literal["import"] = Field(description="Trained elsewhere.")
    dataset: DatasetId = Field(description="What it was trained on.")
    holdout: DatasetId | None = Field(default=None, description="Instances it never saw, under ids of their own.")
    recipe: Recipe | None = Field(default=None, description="How it was trained; without it, no rebuild is possible.")
    training_format: TrainingFormat = Field(
        default=TrainingFormat(), description="How an instance became tokens and a loss."
    )
    expected_losses: dict[str, Real] | None = Field(
        default=None,
        max_length=1_000_000,
        description="Final training loss of instances, by id, in nats per token.",
        examples=[{"row-17": 0.31}],
    )


Source = Annotated[TrainSource | ImportSource, Field(discriminator="type")]


class VersionCreate(Input):
    """Where the new version comes from. An import is sent as multipart/form-data with its archive."""

    source: Source = Field(description="Train here, or import.")


class NamesElsewhere(Output):
    """What clients that have names of their own call a version."""

    model_config = ConfigDict(from_attributes=True, frozen=True)

    hub: str | None = Field(
        description="Repository under `/hub`; null where Hub clients refuse the line's name.",
        examples=["support-bot/v3"],
    )
    lorax: str = Field(description="`adapter_id` for the source `pbase`.", examples=["support-bot/3"])


class VersionRead(Output):
    """An immutable, content-addressed adapter."""

    id: str = Field(description="The adapter id clients use.", examples=["support-bot@v3"])
    names: NamesElsewhere = Field(description="What other clients call it.")
    adapter: str = Field(description="The line.", examples=["support-bot"])
    version: str = Field(description="Number in the line.", examples=["v3"])
    state: VersionState = Field(description="Only `ready` versions can be downloaded.", examples=["ready"])
    kind: str = Field(description="How it was made: train, import, influence, rebuild, collapse.", examples=["train"])
    digest: str | None = Field(description="Content address: SHA-256 over its files.", examples=["sha256:…"])
    files: dict[str, FileDigest] | None = Field(description="Its files, by name.")
    parent: str | None = Field(description="The line's newest version when it was made.", examples=["v2"])
    anchor: str | None = Field(description="The trained version it was solved from.", examples=["v1"])
    claim_level: ClaimLevel | None = Field(
        description="What may be said of the forgetting in it: E exact, C calibrated, M measured, I inconclusive.",
        examples=["M"],
    )
    aliases: list[str] = Field(description="Aliases that point at it.", examples=[["production"]])
    rolls_forward: str | None = Field(
        description="The version whose recipe was trained anew for it, without what was erased since.", examples=["v2"]
    )
    run: str | None = Field(description="The run that made it.", examples=["run_0192…"])
    dataset: str = Field(description="Its training data.", examples=["ds_0192…"])
    holdout: str | None = Field(description="Data it never saw.", examples=["ds_0192…"])
    recipe: Recipe | None = Field(description="How its anchor was trained.")
    training_format: TrainingFormat = Field(description="How an instance became tokens and a loss.")
    capabilities: list[CapabilityRead] = Field(description="What it supports, and why not the rest.")
    measurements: JsonObject | None = Field(description="What was measured when it was made.")
    rejection: Failure | None = Field(description="Why it will never be ready.")
    created_at: datetime = Field(description="When it was asked for.")
    ready_at: datetime | None = Field(description="When it went into service.")
    withdraw_at: datetime | None = Field(description="When its grace period ends.")
    withdrawn_at: datetime | None = Field(description="When it was taken out of service.")


class VersionPage(Page[VersionRead]):
    pass


class RollForwardCreate(Input):
    """Which version to be like again, but for what was erased since."""

    version: str = Field(max_length=63, description="The older version; it may be withdrawn.", examples=["v2"])


class RollForwardPlan(Output):
    """What a roll-forward would train now. Nothing was changed."""

    version: str = Field(description="The older version.", examples=["v2"])
    anchor: str = Field(description="The trained version whose recipe and dataset are taken.", examples=["v1"])
    recipe: Recipe = Field(description="How it would be trained.")
    dataset: str = Field(description="What it would be trained on, with the ledger replayed.", examples=["ds_0192…"])
    instances: int = Field(description="Instances that are left to train on.", examples=[354])
    replayed: int = Field(description="Instances that were removed or changed since that version.", examples=[6])
    estimated_seconds: float | None = Field(description="Estimated run time; null if unknown.", examples=[620.0])


class Withdrawal(Input):
    versions: list[str] = Field(
        min_length=1, max_length=1000, description="Versions to take out of service now.", examples=[["v1"]]
    )


class Withdrawn(Output):
    items: list[VersionRead] = Field(description="The versions, as they are now.")
