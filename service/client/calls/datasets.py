"""Datasets."""

from pathlib import Path

from service.client.answers.adapters import Dataset
from service.client.answers.common import Page
from service.client.call import UPLOAD_S, Call, File, Json, One, new_key, path

DATASETS = "/v1/datasets"


def create_dataset(file: Path, *, name: str | None = None, idempotency_key: str | None = None) -> Call[Dataset]:
    """Upload a JSONL file. `name` is for people; default: the file's."""
    return Call(
        "POST",
        DATASETS,
        One(Dataset),
        params={"name": name or file.name},
        body=File(file, "application/x-ndjson"),
        idempotency_key=new_key(idempotency_key),
        timeout=UPLOAD_S,
    )


def create_dataset_from_uri(uri: str, *, name: str | None = None, idempotency_key: str | None = None) -> Call[Dataset]:
    """Have the service fetch a JSONL file from one of its LETHE_DATASET_URIS."""
    return Call(
        "POST",
        DATASETS,
        One(Dataset),
        body=Json({"uri": uri, "name": name}),
        idempotency_key=new_key(idempotency_key),
        timeout=UPLOAD_S,
    )


def list_datasets(*, cursor: str | None = None, limit: int | None = None) -> Call[Page[Dataset]]:
    """Datasets, newest first."""
    return Call("GET", DATASETS, One(Page[Dataset]), params={"cursor": cursor, "limit": limit})


def get_dataset(dataset_id: str) -> Call[Dataset]:
    """What a dataset holds, in numbers."""
    return Call("GET", path(f"{DATASETS}/{{dataset_id}}", dataset_id=dataset_id), One(Dataset))
