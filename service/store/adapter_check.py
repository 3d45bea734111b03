"""Whether an uploaded adapter is what it says: configuration, tensors and base model must fit together.

All of it happens without torch and before a worker sees the adapter, so that a client learns in the
response to the upload what is wrong with it.
"""

import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from service.domain.adapters import LoraSpec
from service.domain.errors import InvalidArchive, Unsupported
from service.store.adapter_config import DeclaredAdapter, parse_config, plain_config
from service.store.archives.entries import DEFAULT_LIMITS, Limits
from service.store.archives.extract import CONFIG_FILE, WEIGHTS_FILE, extract_adapter
from service.store.base_shapes import float_shapes
from service.store.safetensors_header import TensorEntry, first_not_finite, read_header

_FIELD = f"/archive/{WEIGHTS_FILE}"
_FIX_SAVE = "Save the adapter with PEFT's save_pretrained."
_LORA = re.compile(r"base_model\.model\.(?P<module>\w+(?:\.\w+){0,30})\.lora_(?P<side>[AB])\.weight", re.ASCII)
_LAYER = re.compile(r"\.\d+\b")


@dataclass(frozen=True, slots=True)
class _Foreign:
    """Names of tensors that are no LoRA matrices of linear modules, the problem's code, and what they are."""

    names: re.Pattern[str]
    code: str
    what: str


_FOREIGN = (
    _Foreign(re.compile(r"base_model\.model\..*\.lora_magnitude_vector.*"), "dora", "the magnitudes of DoRA"),
    _Foreign(re.compile(r"base_model\.model\..*\.lora_embedding_[AB]"), "embedding-lora", "LoRA on embeddings"),
    _Foreign(re.compile(r"base_model\.model\..*\.bias"), "bias", "trained biases"),
    _Foreign(
        re.compile(r"base_model\.model\.(?!.*\.lora_).*\.weight"),
        "modules-to-save",
        "fully trained modules beside LoRA",
    ),
)


@dataclass(frozen=True, slots=True)
class CheckedAdapter:
    """An adapter that passed. `base_model`: what its trainer called the base; `modules`: those it adapts, sorted."""

    spec: LoraSpec
    base_model: str | None
    modules: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Pair:
    """The two matrices of a module: A [r, in] and B [out, r]."""

    a: TensorEntry
    b: TensorEntry


def take_adapter(
    archive: Path, into: Path, *, base: Path | None = None, limits: Limits = DEFAULT_LIMITS
) -> CheckedAdapter:
    """Unpack and check an uploaded adapter; its configuration is replaced by one that holds nothing unread.

    Args:
        archive: the uploaded file.
        into: a directory that does not exist yet; on success it holds exactly the two files of the adapter.
        base: the directory of the line's base model, if this process can read it.

    Raises:
        InvalidArchive, Unsupported: see `extract_adapter` and `check_adapter`; `into` does not exist then.
    """
    extract_adapter(archive, into, limits)
    try:
        checked = check_adapter(into, base=base)
        (into / CONFIG_FILE).write_bytes(plain_config(checked.spec, checked.base_model))
    except BaseException:
        shutil.rmtree(into)
        raise
    return checked


def check_adapter(directory: Path, *, base: Path | None = None) -> CheckedAdapter:
    """Check an unpacked adapter.

    Raises:
        InvalidArchive: codes of `parse_config` and `read_header`, and `no-tensors`, `unexpected-tensor`,
            `unpaired-tensor`, `rank-mismatch`, `module-mismatch`, `nan-weights`, `wrong-base`.
        Unsupported: codes of `parse_config` and `read_header`, and `dora`, `embedding-lora`, `conv-lora`, `bias`,
            `modules-to-save`.
    """
    declared = parse_config((directory / CONFIG_FILE).read_bytes())
    header = read_header(directory / WEIGHTS_FILE)
    pairs = _pairs(header.tensors)
    for pair in pairs.values():
        _check_rank(pair, declared.r)
    targets = _targets(pairs, declared)
    if base is not None:
        _check_base(pairs, base)
    broken = first_not_finite(directory / WEIGHTS_FILE, header)
    if broken is not None:
        _refuse("nan-weights", "A tensor holds values that are not finite.", broken, fix="Train the adapter again.")
    return CheckedAdapter(
        spec=LoraSpec(r=declared.r, alpha=declared.alpha, dropout=declared.dropout, target_modules=targets),
        base_model=declared.base_model,
        modules=tuple(sorted(pairs)),
    )


def _pairs(tensors: tuple[TensorEntry, ...]) -> Mapping[str, _Pair]:
    sides: dict[str, dict[str, TensorEntry]] = {}
    foreign: list[str] = []
    for tensor in tensors:
        match = _LORA.fullmatch(tensor.name)
        if match is None:
            foreign.append(tensor.name)
        else:
            sides.setdefault(match["module"], {})[match["side"]] = tensor
    _check_foreign(foreign)
    if not sides:
        raise InvalidArchive("The adapter holds no tensors.", field=_FIELD, fix=_FIX_SAVE, code="no-tensors")
    for found in sides.values():
        if len(found) != 2:
            _refuse("unpaired-tensor", "A LoRA matrix lacks its other half.", *found.values(), fix=_FIX_SAVE)
    return {module: _Pair(found["A"], found["B"]) for module, found in sides.items()}


def _check_foreign(names: Sequence[str]) -> None:
    """Tensors other than LoRA matrices of linear modules. Their names are foreign text and are not repeated."""
    for foreign in _FOREIGN:
        if any(foreign.names.fullmatch(name) for name in names):
            raise Unsupported(
                f"The adapter holds {foreign.what}, which Lethe does not unlearn.",
                field=_FIELD,
                fix="Train the adapter as plain LoRA on linear modules.",
                code=foreign.code,
            )
    if names:
        raise InvalidArchive(
            f"The adapter holds {len(names)} tensors with names that PEFT does not give to LoRA weights.",
            field=_FIELD,
            fix=_FIX_SAVE,
            code="unexpected-tensor",
        )


def _check_rank(pair: _Pair, r: int) -> None:
    for tensor, axis in ((pair.a, 0), (pair.b, 1)):
        if len(tensor.shape) != 2:
            raise Unsupported(
                "The adapter holds LoRA matrices of convolutions, which Lethe does not unlearn.",
                field=f"{_FIELD}/{tensor.name}",
                fix="Train the adapter on linear modules.",
                code="conv-lora",
            )
        if tensor.shape[axis] != r:
            _refuse(
                "rank-mismatch",
                f"A LoRA matrix does not have the rank {r} of the configuration.",
                tensor,
                fix=_FIX_SAVE,
            )


def _targets(pairs: Mapping[str, _Pair], declared: DeclaredAdapter) -> tuple[str, ...]:
    """The declared names that select a module, in full or by the end of its path, as PEFT matches; else full paths."""
    if declared.target_modules is None:
        return tuple(sorted(pairs))
    used: set[str] = set()
    for module, pair in pairs.items():
        segments = module.split(".")
        names = {".".join(segments[start:]) for start in range(len(segments))}.intersection(declared.target_modules)
        if not names:
            _refuse(
                "module-mismatch", "The configuration does not name a module of the tensors.", pair.a, fix=_FIX_SAVE
            )
        used |= names
    return tuple(sorted(used))


def _check_base(pairs: Mapping[str, _Pair], base: Path) -> None:
    """The modules exist in the base model with the shapes that the matrices need.

    Checkpoints may name weights otherwise than the model does once loaded, and may hold quantised ones. So a
    module that is not found counts against the adapter only if the same module of another layer is found.
    """
    shapes = float_shapes(base)
    found = {module: shapes[f"{module}.weight"] for module in pairs if f"{module}.weight" in shapes}
    kinds = {_LAYER.sub(".*", module) for module in found}
    for module, pair in pairs.items():
        needed = (pair.b.shape[0], pair.a.shape[1])
        # GPT-2 stores its linear weights transposed.
        misfit = module in found and found[module] not in (needed, needed[::-1])
        if misfit or (module not in found and _LAYER.sub(".*", module) in kinds):
            _refuse(
                "wrong-base",
                "The adapter does not fit the line's base model.",
                pair.a,
                fix="Import it into a line on the base model it was trained on.",
            )


def _refuse(code: str, detail: str, tensor: TensorEntry, *, fix: str) -> NoReturn:
    raise InvalidArchive(detail, field=f"{_FIELD}/{tensor.name}", fix=fix, code=code)
