"""Adapter lines and their aliases."""

from datetime import datetime
from typing import Literal

from pydantic import Field

from service.api.schemas.common import NO_OTHER_KEYS, Input, Output, Page
from service.domain.adapters import (
    AliasName,
    BaseModelRef,
    ClaimLevel,
    Count,
    LineName,
    Policy,
    Seconds,
    Share,
    Strategy,
    Window,
)
from service.domain.canary import CanaryRules, Metric
from service.domain.compaction import CompactionReason
from service.domain.quiet_hours import Quiet
from service.domain.scalars import Flag, Real

Pool = Field(
    default="default",
    pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$",
    description="Pool of the workers that serve this line.",
    examples=["gpu-80g"],
)


class AdapterCreate(Input):
    """A new adapter line, still without versions."""

    name: LineName = Field(description="The line's name, part of every version's id.", examples=["support-bot"])
    base_model: BaseModelRef = Field(description="The frozen weights the line sits on.")
    policy: Policy = Field(default=Policy(), description="How the line answers requests.")
    pool: str = Pool


_UNSET_BY_NULL = frozenset({"max_fidelity", "rebuild_after_count", "backups_kept_s"})


class PolicyChange(Input):
    """The policy fields to change; what is left out or null stays.

    But null unsets `max_fidelity`, `rebuild_after_count` and `backups_kept_s`.
    """

    default_strategy: Strategy | None = Field(default=None, description="Strategy of requests that name none.")
    complete_at: Literal[ClaimLevel.exact, ClaimLevel.measured, ClaimLevel.inconclusive] | None = Field(
        default=None, description="Claim level from which a request counts as succeeded."
    )
    rebuild_under_s: Seconds | None = Field(default=None, description="`auto` rebuilds at once below this.")
    rebuild_after_s: Seconds | None = Field(default=None, description="Age at which the ledger is compacted.")
    rebuild_after_count: Count | None = Field(
        default=None,
        description="Instances changed since the anchor at which the ledger is compacted. Null is a value here: any.",
    )
    coalesce_s: Window | None = Field(default=None, description="How long the first request waits for others.")
    quiet_hours: Quiet | None = Field(
        default=None,
        description="Daily windows in which no update and no rebuild begins, instead of those there were.",
        examples=[[{"from": "08:00", "to": "20:00", "zone": "Europe/Berlin"}]],
    )
    shred_within_s: Seconds | None = Field(default=None, gt=0, description="Latest age of sealed data.")
    grace_period_s: Seconds | None = Field(default=None, description="How long older versions stay readable.")
    promotion: Literal["automatic", "canary", "manual"] | None = Field(
        default=None, description="How `production` comes to a new version."
    )
    canary: CanaryRules | None = Field(default=None, description="How new versions are tried.")
    require_approval: Flag | None = Field(default=None, description="Whether every request needs approval.")
    max_share: Share | None = Field(default=None, description="Above this share: approval.")
    influence_share: Share | None = Field(default=None, description="Above this share: rebuild.")
    out_of_fold: Flag | None = Field(default=None, description="Whether idle workers train leave-group-out adapters.")
    max_fidelity: Real | None = Field(
        default=None,
        ge=1,
        description="Farthest from a retrain, in distances between two retrains, that an influence update may be. "
        "Null is a value here: not judged by it.",
    )
    update_budget: Share | None = Field(default=None, description="Share of the training cost for an update.")
    max_drift: Real | None = Field(
        default=None, gt=0, description="Gap between predicted and measured change above which to compact at once."
    )
    backups_kept_s: Seconds | None = Field(
        default=None, description="How long your backups are kept. Null is a value here: not known."
    )

    def given(self) -> dict[str, object]:
        """The fields to change, in JSON form."""
        sent = self.model_dump(mode="json", exclude_unset=True)
        return {name: value for name, value in sent.items() if value is not None or name in _UNSET_BY_NULL}


class AdapterUpdate(Input):
    policy: PolicyChange = Field(description="The policy fields to change.", examples=[{"promotion": "manual"}])


class Retirement(Input):
    reason: str = Field(
        min_length=1,
        max_length=500,
        description="Why it goes. The certificates quote it: name nobody.",
        examples=["its product was discontinued"],
    )


class BaseModelRead(Output):
    path: str = Field(description="Local directory or Hub id.", examples=["/models/llama-3-8b"])
    revision: str | None = Field(description="Revision, if one was named.", examples=["main"])
    digest: str | None = Field(description="What the first anchor was trained on; null before.", examples=["sha256:…"])


class CapabilityRead(Output):
    """Whether a strategy or claim is supported."""

    name: str = Field(description="Strategy or claim.", examples=["influence"])
    supported: bool = Field(description="Whether it can be used.", examples=[True])
    reason: str | None = Field(description="Why not, or under which restriction.", examples=["No recipe was given."])


class CompactionRead(Output):
    """When a line's ledger will be compacted."""

    due_at: datetime = Field(description="When; quiet hours may put off its beginning.")
    because: CompactionReason | None = Field(
        description="Why not later: the ledger's `age` or `count`, `drift` of its newest update, or `shredding` that "
        "must be done in time. Null if an earlier release set the date.",
        examples=["age"],
    )


class AdapterRead(Output):
    """An adapter line: versions of one adapter on one base model."""

    name: str = Field(description="The line's name.", examples=["support-bot"])
    state: Literal["empty", "preparing", "ready", "retired"] = Field(
        description="`empty`: no version yet; `preparing`: the first is being made; `retired`: it is gone for good.",
        examples=["ready"],
    )
    base_model: BaseModelRead = Field(description="The frozen weights the line sits on.")
    policy: Policy = Field(description="How the line answers requests.")
    pool: str = Field(description="Pool of the workers that serve it.", examples=["default"])
    head: str | None = Field(description="The newest version in service.", examples=["v3"])
    anchor: str | None = Field(description="The version that was really trained.", examples=["v1"])
    aliases: dict[str, str] = Field(description="Alias to version.", examples=[{"production": "v3"}])
    capabilities: list[CapabilityRead] = Field(description="What the line supports, and why not the rest.")
    rebuild_due_at: datetime | None = Field(description="When its ledger will be compacted: `compaction.due_at`.")
    compaction: CompactionRead | None = Field(description="When and why it will be; null if nothing is to compact.")
    created_at: datetime = Field(description="When it was created.")
    retired_at: datetime | None = Field(description="When it was retired.")
    retired_by: str | None = Field(description="The key that retired it; `lethe` where nothing was left of its data.")
    retired_reason: str | None = Field(description="Why it was retired.", examples=["its product was discontinued"])


class AdapterPage(Page[AdapterRead]):
    pass


class AliasSet(Input):
    """Move an alias if it stands where the caller thinks it stands."""

    version: str = Field(max_length=63, description="The version to point at.", examples=["v3"])
    expected: str | None = Field(
        pattern=r"^v[1-9][0-9]{0,8}$", description="Its present version; null if it must not exist.", examples=["v2"]
    )


class CanarySet(Input):
    """Try a version on a part of the alias's traffic."""

    version: str = Field(max_length=63, description="The version to try.", examples=["v4"])
    rules: CanaryRules | None = Field(default=None, description="How; null: as the line's policy says.")


class Observations(Input):
    """Values measured of the canary since it began."""

    values: dict[Metric, Real] = Field(
        min_length=1,
        max_length=100,
        description="Newest value of each metric.",
        examples=[{"error_rate": 0.004}],
        json_schema_extra=NO_OTHER_KEYS,
    )


class CanaryRead(Output):
    """A version on trial."""

    version: str = Field(description="The version.", examples=["v4"])
    id: str = Field(description="Its full id.", examples=["support-bot@v4"])
    weight: float = Field(description="Share of the alias's traffic it should get.", examples=[0.1])
    since: datetime = Field(description="When it began.")
    rules: CanaryRules = Field(description="How it is tried.")
    measured: dict[str, float] = Field(description="Newest value of each metric.", examples=[{"error_rate": 0.004}])
    waits_for: list[str] = Field(description="What promotion waits for.", examples=[["hold", "unmeasured:score"]])


class AliasRead(Output):
    adapter: str = Field(description="The line.", examples=["support-bot"])
    alias: AliasName = Field(description="The alias.", examples=["production"])
    version: str = Field(description="Where it points.", examples=["v3"])
    id: str = Field(description="The version's full id.", examples=["support-bot@v3"])
    digest: str | None = Field(description="The version's content address.", examples=["sha256:…"])
    updated_at: datetime = Field(description="When it, or its canary, was changed last.")
    canary: CanaryRead | None = Field(description="The version that is on trial beside it.")


class AliasList(Output):
    items: list[AliasRead] = Field(description="All aliases of the line, by name.")
