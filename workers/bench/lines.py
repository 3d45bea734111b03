"""Lines and their oracles: adapters that are really trained, and kept on disk between runs."""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from service.domain import ledger
from service.domain.adapters import Recipe
from service.domain.engine import Progress, TrainingSet
from service.domain.ledger import Edit
from workers.bench.cases import Case, Line
from workers.bench.settings import Setting
from workers.engine.evaluation import encode_data
from workers.engine.loading import open_base
from workers.engine.preparation import load_preparation, prepare
from workers.engine.record import TrainingRecord
from workers.engine.resident import Resident
from workers.engine.right_hand_side import canonical_changes, instance_weights
from workers.engine.tokens import Tokens, encode
from workers.engine.training import fingerprint, train


def trained_line(setting: Setting, regime: str, cache: Path, device: torch.device | None = None) -> Line:
    """The setting's line under one of its recipes; trained and prepared on the first call."""
    recipe = setting.recipes[regime]
    resident = Resident(open_base(setting.data.base, device or torch.device("cpu")), recipe.lora)
    tokens = encode_data(resident, setting.data)
    place = cache / f"line-{fingerprint(resident, setting.data, recipe, tokens)[:16]}"
    if not (place / "done").is_file():
        record = train_on(resident, setting.data, recipe, tokens)
        _save(resident, place)
        record.save(place / "record")
        prepare(resident, setting.data, tokens, record, place / "prepared", _ignore)
        prepare(resident, setting.data, tokens, None, place / "end-point", _ignore)
        (place / "done").touch()
    return Line(
        resident=resident,
        data=setting.data,
        recipe=recipe,
        training_record=TrainingRecord.load(place / "record"),
        preparation=load_preparation(place / "prepared", resident.device),
        end_point=load_preparation(place / "end-point", resident.device),
        anchor=load_file(_weights(place))["weights"].to(resident.device),
        tokens=tokens,
        subjects=setting.subjects,
        place=place,
    )


def retrained(line: Line, edits: Sequence[Edit], seed: int, cache: Path) -> Tensor:
    """The weights [p] that training on the edited data gives under another seed: an oracle, kept in `cache`."""
    recipe = line.recipe.model_copy(update={"seed": seed, "erasure_vectors": False})
    data = after(line.data, edits)
    tokens = tokens_after(line, edits)
    place = cache / f"oracle-{fingerprint(line.resident, data, recipe, tokens)[:16]}"
    if not _weights(place).is_file():
        train_on(line.resident, data, recipe, tokens)
        _save(line.resident, place)
    return load_file(_weights(place))["weights"].to(line.resident.device)


def case_of(line: Line, edits: Sequence[Edit], seed: int) -> Case:
    """The ledger as methods see it."""
    canonical = ledger.canonical(edits)
    changed = {edit.instance_id: edit.new for edit in canonical}
    new = {
        name: None if content is None else encode(line.resident.tokenizer, content, line.data.format)
        for name, content in changed.items()
    }
    trained = [example.id for example in line.data.examples]
    return Case(
        line=line,
        edits=canonical,
        changes=canonical_changes(new, line.tokens, instance_weights(trained, line.training_record)),
        retained=tuple(line.tokens[name] for name in trained if name not in changed),
        seed=seed,
    )


def train_on(resident: Resident, data: TrainingSet, recipe: Recipe, tokens: Mapping[str, Tokens]) -> TrainingRecord:
    """A whole training run; its weights are in the resident afterwards."""
    with tempfile.TemporaryDirectory() as checkpoint:
        record = train(
            resident,
            data,
            recipe,
            tokens,
            checkpoint=Path(checkpoint),
            progress=_ignore,
            should_yield=lambda: False,
        )
    assert isinstance(record, TrainingRecord), "nothing asked it to yield"
    return record


def after(data: TrainingSet, edits: Sequence[Edit]) -> TrainingSet:
    """The training set after the ledger: the slots of removed instances stay empty."""
    contents = ledger.apply({example.id: example.content for example in data.examples}, edits)
    kept = [(e, slot) for e, slot in zip(data.examples, data.slots, strict=True) if e.id in contents]
    return replace(
        data,
        examples=tuple(replace(example, content=contents[example.id]) for example, _ in kept),
        slots=tuple(slot for _, slot in kept),
    )


def tokens_after(line: Line, edits: Sequence[Edit]) -> dict[str, Tokens]:
    """The tokens of everything that is left, the new contents among them."""
    new = {
        edit.instance_id: encode(line.resident.tokenizer, edit.new, line.data.format)
        for edit in edits
        if edit.new is not None
    }
    gone = {edit.instance_id for edit in edits if edit.new is None}
    return {name: new.get(name, tokens) for name, tokens in line.tokens.items() if name not in gone}


def _save(resident: Resident, place: Path) -> None:
    """Moved into place at once: an interrupted run leaves nothing that looks finished."""
    partial = _weights(place).with_stem("partial")
    save_file({"weights": resident.parameters.get().cpu()}, partial)
    partial.rename(_weights(place))


def _weights(place: Path) -> Path:
    place.mkdir(parents=True, exist_ok=True)
    return place / "weights.safetensors"


def _ignore(progress: Progress) -> None:
    """The benchmark's own bar counts whole runs."""
