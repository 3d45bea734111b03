"""Adapter lines: what a client configures about a line and how it was trained."""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from service.domain.canary import CanaryRules
from service.domain.frozen import Frozen
from service.domain.quiet_hours import Quiet
from service.domain.scalars import Flag, Real, Whole

LineName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$")]
Seconds = Annotated[Real, Field(ge=0, le=100 * 365 * 86_400)]
Share = Annotated[Real, Field(gt=0, le=1)]
Window = Annotated[Real, Field(ge=0, le=7 * 86_400)]
Count = Annotated[Whole, Field(ge=1, le=1_000_000_000)]
AliasName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,62}$")]


class Strategy(StrEnum):
    """`influence`: fast and approximate. `rebuild`: retrain without the data. `auto`: whichever fits the policy."""

    influence = "influence"
    rebuild = "rebuild"
    auto = "auto"


class ClaimLevel(StrEnum):
    """What may be said of a version: Exact, Calibrated, Measured, Inconclusive."""

    exact = "E"
    calibrated = "C"
    measured = "M"
    inconclusive = "I"


CLAIM_ORDER = (ClaimLevel.inconclusive, ClaimLevel.measured, ClaimLevel.calibrated, ClaimLevel.exact)


def reaches(level: ClaimLevel, required: ClaimLevel) -> bool:
    """Whether a claim level is at least the required one (I < M < C < E)."""
    return CLAIM_ORDER.index(level) >= CLAIM_ORDER.index(required)


class BaseModelRef(Frozen):
    """The frozen weights a line sits on: a local directory or a Hub id, with its revision."""

    path: str = Field(min_length=1, max_length=1000, examples=["/models/llama-3-8b"])
    revision: str | None = Field(default=None, max_length=200)


# What an influence update may take of the cost of training, unless the policy says otherwise.
UPDATE_BUDGET = 0.04


class Policy(Frozen):
    """How a line answers requests. Times are in seconds."""

    default_strategy: Strategy = Strategy.auto
    complete_at: Literal[ClaimLevel.exact, ClaimLevel.measured, ClaimLevel.inconclusive] = ClaimLevel.measured
    rebuild_under_s: Seconds = Field(default=600, description="`auto` rebuilds at once below this estimate.")
    rebuild_after_s: Seconds = Field(default=86_400, description="Age of the ledger at which it is compacted.")
    rebuild_after_count: Count | None = Field(
        default=None, description="Instances changed since the anchor at which the ledger is compacted. Null: any."
    )
    coalesce_s: Window = Field(
        default=0, description="How long the first request waits for others that share its run and its version."
    )
    quiet_hours: Quiet = Field(
        default=(),
        description="Daily windows in which no update and no rebuild begins. Urgent requests do not heed them, nor "
        "does what must begin to keep a due date.",
        examples=[[{"from": "08:00", "to": "20:00", "zone": "Europe/Berlin", "days": ["mon", "tue"]}]],
    )
    shred_within_s: Seconds = Field(default=30 * 86_400, gt=0, description="Latest age of sealed data.")
    grace_period_s: Seconds = Field(default=86_400, description="How long an older version stays readable.")
    promotion: Literal["automatic", "canary", "manual"] = Field(
        default="automatic", description="How `production` comes to a new version; `canary`: it is tried before."
    )
    canary: CanaryRules = Field(default=CanaryRules(), description="How new versions are tried.")
    require_approval: Flag = False
    max_share: Share = Field(default=0.25, description="Above this share a request needs approval.")
    influence_share: Share = Field(default=0.10, description="Above this share a request is rebuilt.")
    out_of_fold: Flag = Field(
        default=False,
        description="Train leave-group-out adapters while workers are idle, about fifteen times a training run, "
        "for updates closer to a retrain.",
    )
    max_fidelity: Real | None = Field(
        default=None,
        ge=1,
        description="Farthest from a retrain, in units of the distance between two retrains, that an influence update "
        "may be; predicted before, measured after. Null: not judged by it.",
    )
    update_budget: Share = Field(
        default=UPDATE_BUDGET,
        description="Share of the training's cost that an influence update may take. A few steps are always taken.",
    )
    max_drift: Real = Field(
        default=0.5,
        gt=0,
        description="Largest relative gap between predicted and measured change before the ledger is compacted at "
        "once.",
    )
    backups_kept_s: Seconds | None = Field(
        default=None,
        description="How long your backups of database and blob store are kept, as certificates tell it. Null: they "
        "tell that Lethe cannot know.",
    )


class LoraSpec(Frozen):
    """The shape of a LoRA adapter."""

    r: Whole = Field(default=16, ge=1, le=512)
    alpha: Real = Field(default=32, gt=0)
    dropout: Real = Field(default=0.0, ge=0, lt=1)
    target_modules: tuple[str, ...] = Field(
        default=("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"), min_length=1
    )


class Recipe(Frozen):
    """A deterministic training run. `schedule` decays the learning rate from its peak over all steps."""

    epochs: Whole = Field(default=3, ge=1, le=1000)
    batch_size: Whole = Field(default=16, ge=1, le=4096)
    learning_rate: Real = Field(default=2e-4, gt=0, le=1)
    schedule: Literal["constant", "linear", "cosine"] = "linear"
    warmup_steps: Whole = Field(default=0, ge=0)
    weight_decay: Real = Field(default=0.0, ge=0)
    beta1: Real = Field(default=0.9, ge=0, lt=1)
    beta2: Real = Field(default=0.999, gt=0, lt=1)
    epsilon: Real = Field(default=1e-8, gt=0)
    max_grad_norm: Real | None = Field(default=None, gt=0)
    seed: Whole = Field(default=0, ge=0)
    lora: LoraSpec = LoraSpec()
    gradient_checkpointing: Flag = False
    erasure_vectors: Flag = Field(
        default=True,
        description="Accumulate each data subject's part in the weights while training, for closer erasures.",
    )


class TrainingFormat(Frozen):
    """How an instance becomes tokens and a loss.

    Prompt and completion are tokenised apart and joined; the loss is on completion tokens (assistant
    turns of a chat), averaged over an instance's tokens, then over instances.
    """

    max_length: Whole = Field(default=1024, ge=2, le=1_000_000)
    add_bos: Flag = Field(default=False, description="Put the tokenizer's BOS token first.")
    add_eos: Flag = Field(default=True, description="End every completion with the EOS token.")
    train_on_prompt: Flag = Field(default=False, description="The loss also covers prompt tokens.")
    reduction: Literal["instance_mean", "token_mean"] = Field(
        default="instance_mean",
        description="`token_mean`: a batch's loss is the mean over all its tokens (Hugging Face Trainer).",
    )
    packing: Flag = Field(default=False, description="Several instances shared one sequence in training.")
