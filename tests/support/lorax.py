"""LoRAX's side of its source `pbase`: the calls it makes and the quirks that matter, after its public source code."""

from pathlib import Path

import boto3
import httpx

# The statuses it knows; those in the second set it loads, if there is a path.
_KNOWN = {"pending", "queued", "training", "stopping", "stopped", "canceled", "completed", "errored"}
_LOADABLE = {"completed", "errored", "canceled", "stopped", "training"}


class NotReady(Exception):
    pass


class LoraxDouble:
    """A server whose gateway is `client`. It resolves an adapter once and for all, and never fetches it again."""

    def __init__(self, client: httpx.Client, s3_endpoint: str, cache: Path) -> None:
        self._client = client
        self._s3 = boto3.resource("s3", endpoint_url=s3_endpoint)
        self._cache = cache
        self._resolved: dict[str, str] = {}

    def load(self, adapter_id: str) -> Path:
        """The local directory with the adapter."""
        if adapter_id not in self._resolved:
            self._resolved[adapter_id] = self._resolve(adapter_id)
        bucket, _, prefix = self._resolved[adapter_id].removeprefix("s3://").partition("/")
        directory = self._cache / f"models--{prefix.replace('/', '--')}" / "snapshots"
        if not directory.is_dir():
            self._download(self._s3.Bucket(bucket), prefix, directory)
        assert list(directory.glob("*.safetensors"))
        return directory

    def _resolve(self, adapter_id: str) -> str:
        name, version = adapter_id.split("/")
        response = self._client.get(f"/v2/repos/{name}/version/{version}")
        if response.is_error:
            # An older route, which the gateway may not have.
            response = self._client.get(f"/v1/models/version/name/{name}", params={"version": version})
        if response.is_error:
            raise NotReady(f"HTTP {response.status_code}")
        answer = response.json()
        if answer["status"] in _KNOWN - _LOADABLE:
            raise NotReady(answer["status"])
        if not answer["adapterPath"]:
            raise NotReady("not yet available")
        return str(answer["adapterPath"])

    @staticmethod
    def _download(bucket, prefix: str, directory: Path) -> None:  # type: ignore[no-untyped-def]
        """Whatever begins with the prefix."""
        for entry in bucket.objects.filter(Prefix=prefix):
            target = directory / entry.key.removeprefix(prefix).lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            bucket.download_file(str(Path(prefix) / target.relative_to(directory)), str(target))
