"""Find lines, versions, requests and runs by the names clients use."""

import re

from service.domain.errors import NotFound
from service.store.database import Unit
from service.store.tables import Alias, Dataset, Line, Run, UnlearningRequest, Version

VERSION_NAME = re.compile(r"v([1-9][0-9]{0,8})")


def find_line(unit: Unit, name: str) -> Line:
    line = unit.lines.by_name(name)
    if line is None:
        raise NotFound("There is no such adapter line.", field="name", code="unknown-adapter")
    return line


def find_version(unit: Unit, line: Line, name: str) -> Version:
    """A version by `v3` or by an alias."""
    numbered = VERSION_NAME.fullmatch(name)
    if numbered:
        version = unit.versions.by_number(line.id, int(numbered[1]))
    else:
        alias = unit.lines.alias(line.id, name)
        version = None if alias is None else unit.versions.get(alias.version_id)
    if version is None:
        raise NotFound(
            "The line has no such version or alias.",
            field="version",
            fix="Use `v3` or an alias.",
            code="unknown-version",
        )
    return version


def find_alias(unit: Unit, line: Line, name: str) -> Alias:
    alias = unit.lines.alias(line.id, name)
    if alias is None:
        raise NotFound("There is no such alias.", field="alias", code="unknown-alias")
    return alias


def find_request(unit: Unit, request_id: str) -> UnlearningRequest:
    request = unit.requests.get(request_id)
    if request is None:
        raise NotFound("There is no such request.", field="request_id", code="unknown-request")
    return request


def find_run(unit: Unit, run_id: str) -> Run:
    run = unit.runs.get(run_id)
    if run is None:
        raise NotFound("There is no such run.", field="run_id", code="unknown-run")
    return run


def find_dataset(unit: Unit, dataset_id: str, *, field: str = "dataset") -> Dataset:
    dataset = unit.datasets.get(dataset_id)
    if dataset is None:
        raise NotFound("There is no such dataset.", field=field, fix="Upload it first.", code="unknown-dataset")
    return dataset
