"""`lethe train` and `lethe import`: the two ways a line gets its first version."""

import tempfile
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from pydantic import BaseModel, RootModel, ValidationError

from service.cli.documents import read_json
from service.cli.packing import pack_adapter, pack_directory
from service.cli.session import Session, talks_to_service
from service.cli.tables.adapters import version_table
from service.cli.waiting import wait_for_run
from service.client.answers.adapters import Version
from service.domain.adapters import BaseModelRef, LoraSpec, Recipe, TrainingFormat
from service.domain.errors import InvalidInput, NotFound
from service.domain.states import VersionState

Name = Annotated[str, typer.Argument(help="The adapter line; made if it does not exist.")]
Base = Annotated[str, typer.Option(help="The base model: a directory on the worker's machine, or a Hub id.")]
Revision = Annotated[str | None, typer.Option(help="The base model's revision.")]
DatasetOption = Annotated[str, typer.Option("--dataset", help="A JSONL file, or the id of an uploaded dataset.")]
Holdout = Annotated[
    str | None, typer.Option(help="Instances that are never trained on; a JSONL file or a dataset's id.")
]
Wait = Annotated[bool, typer.Option(help="Wait until the version is ready.")]
Format = Annotated[
    Path | None, typer.Option("--format", help="A training format as JSON.", exists=True, dir_okay=False)
]

M = TypeVar("M", bound=BaseModel)


class _Losses(RootModel[dict[str, float]]):
    root: dict[str, float] = {}


@talks_to_service
def train(
    session: Session,
    name: Name,
    *,
    base: Base,
    dataset: DatasetOption,
    revision: Revision = None,
    holdout: Holdout = None,
    recipe: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="A recipe as JSON; the options below go before it."),
    ] = None,
    epochs: Annotated[int | None, typer.Option(min=1)] = None,
    batch_size: Annotated[int | None, typer.Option(min=1)] = None,
    learning_rate: Annotated[float | None, typer.Option()] = None,
    seed: Annotated[int | None, typer.Option(min=0)] = None,
    rank: Annotated[int | None, typer.Option(min=1, help="The LoRA rank; alpha is twice the rank.")] = None,
    target_module: Annotated[list[str] | None, typer.Option(help="A LoRA target. May be repeated.")] = None,
    format_file: Format = None,
    wait: Wait = True,
) -> None:
    """Train an adapter on a dataset."""
    given = {"epochs": epochs, "batch_size": batch_size, "learning_rate": learning_rate, "seed": seed}
    chosen = _recipe(recipe, {k: v for k, v in given.items() if v is not None}, rank, target_module)
    training_format = _read(TrainingFormat, format_file)
    _ensure_line(session, name, BaseModelRef(path=_base(base), revision=revision))
    version = session.client.train(
        name,
        _dataset(session, dataset),
        holdout=None if holdout is None else _dataset(session, holdout),
        recipe=chosen,
        training_format=training_format,
    )
    _conclude(session, version, wait=wait)


@talks_to_service
def import_adapter(
    session: Session,
    name: Name,
    *,
    base: Base,
    adapter: Annotated[Path, typer.Option(exists=True, file_okay=False, help="What PEFT's save_pretrained wrote.")],
    dataset: DatasetOption,
    revision: Revision = None,
    holdout: Holdout = None,
    record: Annotated[
        Path | None, typer.Option(exists=True, file_okay=False, help="A training record in Lethe's layout.")
    ] = None,
    recipe: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="The recipe it was trained by, as JSON.")
    ] = None,
    format_file: Format = None,
    losses: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="Final training losses as JSON: instance id to nats a token."),
    ] = None,
    wait: Wait = True,
) -> None:
    """Take over an adapter that was trained elsewhere."""
    training_format = _read(TrainingFormat, format_file)
    known_recipe = None if recipe is None else _read(Recipe, recipe)
    known_losses = None if losses is None else _read(_Losses, losses).root
    with tempfile.TemporaryDirectory() as directory:
        archive = pack_adapter(adapter, Path(directory) / "adapter.tar")
        packed_record = None if record is None else pack_directory(record, Path(directory) / "record.tar")
        _ensure_line(session, name, BaseModelRef(path=_base(base), revision=revision))
        version = session.client.import_adapter(
            name,
            archive,
            _dataset(session, dataset),
            holdout=None if holdout is None else _dataset(session, holdout),
            record=packed_record,
            recipe=known_recipe,
            training_format=training_format,
            expected_losses=known_losses,
        )
    _conclude(session, version, wait=wait)


def _conclude(session: Session, version: Version, *, wait: bool) -> None:
    if wait and version.run is not None:
        wait_for_run(session, version.run, label=f"{version.adapter}@{version.version}")
        version = session.client.get_version(version.adapter, version.version)
    session.output.one(version, version_table(version))
    session.end(is_success=not wait or version.state == VersionState.ready)


def _ensure_line(session: Session, name: str, base_model: BaseModelRef) -> None:
    try:
        line = session.client.get_adapter(name)
    except NotFound:
        session.client.create_adapter(name, base_model)
        return
    if line.base_model.path != base_model.path:
        raise InvalidInput(f"{name} sits on another base model.", field="--base", fix="Choose another name.")


def _dataset(session: Session, given: str) -> str:
    """The id of an uploaded dataset; a file is uploaded first."""
    if given.startswith("ds_"):
        return given
    file = Path(given)
    if not file.is_file():
        raise InvalidInput(f"{given} is neither a file nor the id of a dataset.", field="--dataset")
    return session.client.create_dataset(file).id


def _base(given: str) -> str:
    """A directory here is named by its full path: the worker has another working directory."""
    return str(Path(given).resolve()) if Path(given).is_dir() else given


def _recipe(file: Path | None, changes: dict[str, Any], rank: int | None, targets: list[str] | None) -> Recipe:
    recipe = _read(Recipe, file)
    lora: dict[str, Any] = {} if rank is None else {"r": rank, "alpha": 2 * rank}
    lora |= {} if targets is None else {"target_modules": targets}
    whole = {**recipe.model_dump(), **changes, "lora": LoraSpec.model_validate({**recipe.lora.model_dump(), **lora})}
    return Recipe.model_validate(whole)


def _read(model: type[M], file: Path | None) -> M:
    """A JSON file as a model; the model's defaults without one."""
    if file is None:
        return model()
    try:
        return model.model_validate(read_json(file))
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise InvalidInput(f"{file} does not fit: {first['msg']}.", field=where) from error
