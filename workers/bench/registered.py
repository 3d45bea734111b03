"""A registered adapter line as the benchmark's setting: its own anchor, record, preparation and data.

The deployment is only read. Texts are unsealed in memory and never written. Files derived from them (the adapter,
its record, preparation and folds) lie below a directory that the caller deletes when the run is over.
"""

import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from pathlib import Path

from service.domain.adapters import Recipe
from service.domain.engine import Anchor, Example, Progress
from service.domain.errors import Conflict, NotFound
from service.domain.instances import Content
from service.flows.assemble import load_anchor
from service.flows.lookup import find_line
from service.flows.trees import keys
from service.flows.vault import reading_vault
from service.settings import Settings
from service.store import tables
from service.store.blobs import Blobs
from service.store.database import Store, Unit, is_there
from service.store.local_cache import LocalCache
from service.store.migrate import at_head
from workers.bench.cases import Line
from workers.bench.settings import Setting
from workers.engine.engine import RECORD, Engine
from workers.engine.errors import EngineRefusal
from workers.engine.evaluation import encode_data
from workers.engine.preparation import load_preparation, prepare
from workers.engine.record import TrainingRecord
from workers.engine.resident import Resident
from workers.engine.residents import Residents
from workers.engine.tokens import encode

REGIME = "as trained"
# With fewer, a tenth of the data is the one instance that a hundredth is.
LEAST_INSTANCES = 20


def open_registered(settings: Settings, name: str, work: Path) -> tuple[Setting, Line]:
    """The line `name` of the deployment and the setting it makes; their files lie below `work`.

    Oracles are retrained by the line's own recipe, on the device that a worker would use.

    Raises:
        LetheError: there is no such deployment or line, or the line cannot be benchmarked.
        EngineRefusal: base model, adapter or preparation cannot be read.
    """
    title, anchor = _read(settings, name, work / "blobs")
    if len(anchor.data.examples) < LEAST_INSTANCES:
        count = len(anchor.data.examples)
        raise _refused(f"The line has {count} instances; below {LEAST_INSTANCES} the benchmark's shares mean nothing.")
    recipe = anchor.recipe
    assert recipe is not None, "lines without one were refused"
    resident = _resident(settings, anchor, recipe)
    setting = _setting(title, anchor, recipe, resident)
    return setting, _line(setting, anchor, recipe, resident, work / "line")


def _read(settings: Settings, name: str, blobs: Path) -> tuple[str, Anchor]:
    """The anchor's name and the anchor, its files below `blobs`."""
    if not is_there(settings.database_url):
        raise NotFound("There is no deployment here.", fix="Set LETHE_HOME or LETHE_DATABASE_URL.")
    with closing(Store(settings.database_url)) as store:
        if not at_head(store):
            raise Conflict(
                "The database has another schema than this version of Lethe.", fix="Start the service once."
            )
        vault = reading_vault(settings)
        with store.read() as unit:
            line = find_line(unit, name)
            version = unit.versions.find(line.anchor_id)
            if version is None:
                raise _refused("The line has no anchor: its first version is not ready, or it was retired.")
            for obstacle in _obstacles(unit, line, version):
                raise obstacle
            materialise = LocalCache(blobs, Blobs(settings.blob_url), keys(store, vault)).materialise
            return f"{line.name}@v{version.number}", load_anchor(unit, vault, line, version, materialise)


def _obstacles(unit: Unit, line: tables.Line, version: tables.Version) -> Iterator[Conflict]:
    """Why a line with an anchor cannot be benchmarked."""
    for capability in version.capabilities or ():
        if capability["name"] == "influence" and not capability["supported"]:
            yield _refused(f"The line cannot be updated by influence: {capability['reason']}")
    if version.recipe is None:
        yield _refused("The line has no recipe, so no adapters can be retrained to compare with.")
    if version.holdout_id is None:
        yield _refused("The line has no holdout, so nothing shows what never-seen data look like.")
    tail = any(entry.baked_id is None for entry in unit.ledger.of_line(line.id))
    if tail or unit.targets.open_of_line(line.id):
        yield _refused(
            "The line's anchor still holds what requests have changed since; oracles would be trained on it.",
            fix=f"Let the requests finish, then run `lethe rebuild {line.name}`.",
        )


def _refused(detail: str, *, fix: str | None = None) -> Conflict:
    return Conflict(detail, fix=fix, code="no-benchmark")


def _resident(settings: Settings, anchor: Anchor, recipe: Recipe) -> Resident:
    """The base model as a worker loads it, with the anchor's adapter on it."""
    device = Engine(device=settings.device, memory_fraction=settings.gpu_memory_fraction).device
    residents = Residents(device, allow_hub=settings.allow_hub)
    # The recipe's shape is the adapter's, and has the dropout that retraining needs.
    resident = residents.adapter(residents.base(anchor.data.base), recipe.lora)
    resident.load_adapter(anchor.adapter)
    return resident


def _setting(title: str, anchor: Anchor, recipe: Recipe, resident: Resident) -> Setting:
    data = anchor.data

    def fits(content: Content) -> bool:
        try:
            encode(resident.tokenizer, content, data.format)
        except EngineRefusal:
            return False
        return True

    return Setting(
        name=title,
        data=data,
        subjects=_subjects(data.examples),
        # Nobody says which instances ask alike, so that any response is as good a wrong one as another.
        kinds=dict.fromkeys((example.id for example in data.examples), "response"),
        reworded={},
        recipes={REGIME: recipe},
        fits=fits,
    )


def _subjects(examples: Iterable[Example]) -> Mapping[str, tuple[str, ...]]:
    """Instances by subject. One without a subject is a subject of its own, as in training and in folds."""
    groups: dict[str, list[str]] = {}
    for example in examples:
        groups.setdefault(example.subject or f"instance {example.id}", []).append(example.id)
    return {subject: tuple(names) for subject, names in groups.items()}


def _line(setting: Setting, anchor: Anchor, recipe: Recipe, resident: Resident, place: Path) -> Line:
    """The anchor with what the deployment made for it, and what it would have made without a record."""
    _take_folds(anchor, place / "out_of_fold")
    weights, tokens = resident.parameters.get(), encode_data(resident, anchor.data)
    directory = anchor.artefacts / RECORD
    record = TrainingRecord.load(directory) if directory.is_dir() else None
    preparation = load_preparation(anchor.artefacts, resident.device)
    end_point = preparation
    if record is not None:
        end_point = prepare(resident, anchor.data, tokens, None, place / "end-point", _ignore)
    return Line(
        resident=resident,
        data=anchor.data,
        recipe=recipe,
        training_record=record,
        preparation=preparation,
        end_point=end_point,
        anchor=weights,
        tokens=tokens,
        subjects=setting.subjects,
        place=place,
    )


def _take_folds(anchor: Anchor, place: Path) -> None:
    """Idle workers' folds, where methods look for them; there may be none."""
    for fold in anchor.out_of_fold:
        shutil.copytree(fold, place, dirs_exist_ok=True)


def _ignore(progress: Progress) -> None:
    """It takes a moment beside the retrains."""
