"""A version's files as they go out, whatever route they are asked for on."""

from service.api.downloads import Representation
from service.api.views.adapters import version_headers
from service.domain.errors import NotFound
from service.store.blobs import Blobs
from service.store.tables import Line, Version

OCTETS, JSON = "application/octet-stream", "application/json"


def representation_of(blobs: Blobs, line: Line, version: Version, file: str) -> Representation:
    """Raises NotFound: the version has no such file."""
    entry = (version.files or {}).get(file)
    if entry is None:
        raise NotFound(
            "The version has no such file.", field="file", fix="Read the version for its files.", code="unknown-file"
        )
    key = f"{version.blob_prefix}/{file}"
    return Representation(
        tag=f"sha256:{entry['sha256']}",
        size=entry["size"],
        media_type=JSON if file.endswith(".json") else OCTETS,
        filename=file,
        read=lambda start, stop: blobs.chunks(key, start=start, stop=stop),
        sha256=entry["sha256"],
        headers=version_headers(line, version),
    )
