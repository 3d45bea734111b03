"""Taking over an adapter trained elsewhere: it must remember the data it comes with.

A wrong template, mask, begin or end token silently corrupts every gradient. The import therefore
reproduces the training loss under the declared format, or is refused with what differs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from service.domain.adapters import TrainingFormat
from service.domain.engine import Example, TrainingSet
from workers.engine.errors import EngineRefusal
from workers.engine.evaluation import Comparison, adapter_losses, base_losses, compare, spread
from workers.engine.record import TrainingRecord
from workers.engine.resident import Resident
from workers.engine.tokens import NO_LOSS, Tokens, encode

# An instance agrees if |ours − theirs| ≤ ABSOLUTE + RELATIVE · theirs; this share of them must.
TOLERANCE = {"cpu": (1e-3, 0.01), "cuda": (0.02, 0.05)}
AGREEING = 0.95
# Enough to tell formats apart, few enough to try them all.
PROBED = 64
# Rounding aside, training on a token cannot make it less likely; this many nats are more than rounding.
UNLEARNT = 0.05

SWITCHES = ("add_eos", "add_bos", "train_on_prompt")


def check_losses(
    resident: Resident,
    data: TrainingSet,
    tokens: Mapping[str, Tokens],
    comparison: Comparison,
    expected: Mapping[str, float] | None,
) -> None:
    """Reproduces the training loss of the adapter in `resident`.

    With `expected`, per-instance losses are compared. Otherwise the mean loss on training instances must
    be below that on never-seen ones, and below the bare base's; tokens that the format counts in must
    not be less likely than under the base. That the loss on never-seen instances be below the base's is
    not asked: an adapter that memorises is confidently wrong about what it has not seen.

    Raises:
        EngineRefusal: `dataset_mismatch`, with numbers and, where another format fits, with its name.
    """
    if expected:
        _check_expected(resident, data, tokens, expected)
    else:
        _check_order(resident, data, comparison)
        _check_counted_tokens(resident, data, tokens)


def load_record(resident: Resident, data: TrainingSet, directory: Path) -> TrainingRecord:
    """A training record that came with an adapter, if it fits adapter and dataset.

    Raises:
        EngineRefusal: `training-record` if it is unreadable or speaks of other parameters or instances.
    """
    record = TrainingRecord.load(directory)
    vectors = [record.second_moments]
    for checkpoint in record.checkpoints:
        vectors += [checkpoint.parameters, checkpoint.second_moments]
    p = resident.parameters.size
    if any(vector.shape != (p,) or not bool(vector.isfinite().all()) for vector in vectors):
        raise EngineRefusal("training-record", f"The training record does not hold finite vectors of {p} parameters.")
    missing = sum(example.id not in record.weights for example in data.examples)
    if missing:
        raise EngineRefusal("training-record", f"The training record has no weight for {missing} instances.")
    # Vectors speak of subjects by this deployment's hashes, so foreign ones mean nothing here.
    return replace(record, vectors=None)


def _check_expected(
    resident: Resident, data: TrainingSet, tokens: Mapping[str, Tokens], expected: Mapping[str, float]
) -> None:
    examples = [example for example in data.examples if example.id in expected]
    if not examples:
        raise EngineRefusal("dataset_mismatch", "None of the expected losses belongs to an instance of the dataset.")
    share = _agreement(resident, [tokens[example.id] for example in examples], _values(expected, examples))
    if share < AGREEING:
        probes = spread(examples, PROBED)

        def agrees(fmt: TrainingFormat) -> bool:
            coded = [encode(resident.tokenizer, example.content, fmt) for example in probes]
            return _agreement(resident, coded, _values(expected, probes)) >= AGREEING

        raise EngineRefusal(
            "dataset_mismatch",
            f"{share:.0%} of {len(examples)} expected losses are reproduced; {AGREEING:.0%} must be."
            + _named([fmt for fmt in _others(data.format) if agrees(fmt)], data.format),
        )


def _agreement(resident: Resident, tokens: Sequence[Tokens], expected: Sequence[float]) -> float:
    absolute, relative = TOLERANCE[resident.device.type]
    ours = adapter_losses(resident, tokens).tolist()
    close = [bool(abs(a - b) <= absolute + relative * abs(b)) for a, b in zip(ours, expected, strict=True)]
    return sum(close) / len(close)


def _check_order(resident: Resident, data: TrainingSet, comparison: Comparison) -> None:
    if _is_ordered(comparison):
        return

    def orders(fmt: TrainingFormat) -> bool:
        training, holdout = (
            [encode(resident.tokenizer, example.content, fmt) for example in spread(group, PROBED)]
            for group in (data.examples, data.holdout)
        )
        return _is_ordered(compare(resident, training, holdout))

    after, before = comparison.after, comparison.before
    raise EngineRefusal(
        "dataset_mismatch",
        f"Mean loss is {_number(after.retained)} on training instances, {_number(after.holdout)} on never-seen ones "
        f"and {_number(before.retained)} under the bare base; the first must be the lowest."
        + _named([fmt for fmt in _others(data.format) if orders(fmt)], data.format),
    )


def _is_ordered(comparison: Comparison) -> bool:
    trained, base = comparison.after.retained, comparison.before.retained
    holdout = comparison.after.holdout
    if trained is None or base is None:
        return False
    return trained < base and (holdout is None or trained < holdout)


def _check_counted_tokens(resident: Resident, data: TrainingSet, tokens: Mapping[str, Tokens]) -> None:
    """Tokens that the format puts into the loss only by a switch must have been learnt.

    A format with a switch too many keeps the order of the means, since the completions dominate them.
    """
    for switch in ("add_eos", "train_on_prompt"):
        counted = _counted_by(resident, data, tokens, switch) if getattr(data.format, switch) else []
        if not counted:
            continue
        trained, base = adapter_losses(resident, counted).mean().item(), base_losses(resident, counted).mean().item()
        if trained > base + UNLEARNT:
            raise EngineRefusal(
                "dataset_mismatch",
                f"The tokens that {switch}=true counts in have a mean loss of {trained:.3f}, and {base:.3f} under "
                f"the bare base, so they were not trained on. A format with {switch}=false fits.",
            )


def _counted_by(resident: Resident, data: TrainingSet, tokens: Mapping[str, Tokens], switch: str) -> list[Tokens]:
    """Instances with a loss only on the tokens that a switch of the format adds to it."""
    without = data.format.model_copy(update={switch: False})
    pairs = [
        (tokens[example.id], encode(resident.tokenizer, example.content, without))
        for example in spread(data.examples, PROBED)
    ]
    return [_difference(more, fewer) for more, fewer in pairs if more.label_count > fewer.label_count]


def _difference(tokens: Tokens, shorter: Tokens) -> Tokens:
    """The same ids with a loss only where `shorter` has none."""
    theirs = (*shorter.labels, *[NO_LOSS] * (len(tokens.ids) - len(shorter.ids)))
    labels = tuple(label if other == NO_LOSS else NO_LOSS for label, other in zip(tokens.labels, theirs, strict=True))
    return Tokens(tokens.ids, labels)


def _others(fmt: TrainingFormat) -> list[TrainingFormat]:
    """The formats that differ in one switch."""
    return [fmt.model_copy(update={switch: not getattr(fmt, switch)}) for switch in SWITCHES]


def _named(fitting: Sequence[TrainingFormat], declared: TrainingFormat) -> str:
    if not fitting:
        return ""
    names = [
        f"{switch}={str(getattr(fmt, switch)).lower()}"
        for fmt in fitting
        for switch in SWITCHES
        if getattr(fmt, switch) != getattr(declared, switch)
    ]
    return f" A format with {' or '.join(names)} fits."


def _values(expected: Mapping[str, float], examples: Sequence[Example]) -> list[float]:
    return [expected[example.id] for example in examples]


def _number(loss: float | None) -> str:
    return "unknown" if loss is None else f"{loss:.3f}"
