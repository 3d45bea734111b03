"""The part of MLflow's REST API that a mirror of adapter lines needs.

Ten calls do not need MLflow's client, which brings some thirty packages and state of its own.

https://mlflow.org/docs/latest/api_reference/rest-api.html
"""

from collections.abc import Iterator
from typing import Any

import httpx

from service.control.mlflow.difference import Model, Tags

PAGE = 1000
TIMEOUT_S = 30.0
ABSENT = "RESOURCE_DOES_NOT_EXIST"


class RegistryError(Exception):
    """MLflow refused a call. `code`: its error code."""

    def __init__(self, call: str, status: int, code: str) -> None:
        super().__init__(f"{call}: {status} {code}")
        self.code = code


class Registry:
    """An MLflow model registry.

    Args:
        tracking_uri: of the server; `http://user:password@host` for basic authentication.
        token: for bearer authentication.

    Every method raises RegistryError, or httpx.TransportError if the server is away.
    """

    def __init__(self, tracking_uri: str, token: str | None = None) -> None:
        url = httpx.URL(tracking_uri.rstrip("/"))
        # The URL of a request is logged, so it must not hold the password.
        self._http = httpx.Client(
            base_url=url.copy_with(username=None, password=None).join(f"{url.path.rstrip('/')}/api/2.0/mlflow/"),
            auth=(url.username, url.password) if url.username else None,
            headers={} if token is None else {"Authorization": f"Bearer {token}"},
            timeout=TIMEOUT_S,
        )

    def close(self) -> None:
        self._http.close()

    def model(self, name: str) -> Model | None:
        """A registered model with its versions; None if there is none of this name."""
        try:
            found = self._call("GET", "registered-models/get", params={"name": name})["registered_model"]
        except RegistryError as error:
            if error.code == ABSENT:
                return None
            raise
        return Model(
            tags=_tags(found),
            versions={int(version["version"]): _tags(version) for version in self._versions(name)},
            aliases={alias["alias"]: int(alias["version"]) for alias in found.get("aliases", ())},
        )

    def create_model(self, name: str, tags: Tags) -> None:
        self._call("POST", "registered-models/create", {"name": name, "tags": _pairs(tags)})

    def tag_model(self, name: str, key: str, value: str) -> None:
        self._call("POST", "registered-models/set-tag", {"name": name, "key": key, "value": value})

    def create_version(self, name: str, source: str, tags: Tags) -> int:
        """Returns the number that MLflow gave it."""
        body = {"name": name, "source": source, "tags": _pairs(tags)}
        return int(self._call("POST", "model-versions/create", body)["model_version"]["version"])

    def tag_version(self, name: str, number: int, key: str, value: str) -> None:
        body = {"name": name, "version": str(number), "key": key, "value": value}
        self._call("POST", "model-versions/set-tag", body)

    def delete_version(self, name: str, number: int) -> None:
        """Delete a version, unless somebody did so."""
        try:
            self._call("DELETE", "model-versions/delete", {"name": name, "version": str(number)})
        except RegistryError as error:
            if error.code != ABSENT:
                raise

    def point(self, name: str, alias: str, number: int) -> None:
        self._call("POST", "registered-models/alias", {"name": name, "alias": alias, "version": str(number)})

    def drop(self, name: str, alias: str) -> None:
        self._call("DELETE", "registered-models/alias", {"name": name, "alias": alias})

    def _versions(self, name: str) -> Iterator[dict[str, Any]]:
        params = {"filter": f"name='{name}'", "max_results": str(PAGE)}
        while True:
            page = self._call("GET", "model-versions/search", params=params)
            yield from page.get("model_versions", ())
            if not page.get("next_page_token"):
                return
            params = {**params, "page_token": page["next_page_token"]}

    def _call(self, method: str, path: str, body: object = None, params: dict[str, str] | None = None) -> Any:
        response = self._http.request(method, path, json=body, params=params)
        if response.is_success:
            return response.json()
        raise RegistryError(path, response.status_code, _error_code(response))


def _error_code(response: httpx.Response) -> str:
    """MLflow's code; a proxy in between has none."""
    try:
        return str(response.json()["error_code"])
    except (ValueError, KeyError, TypeError):
        return "UNKNOWN"


def _tags(entity: dict[str, Any]) -> dict[str, str]:
    return {tag["key"]: tag.get("value", "") for tag in entity.get("tags", ())}


def _pairs(tags: Tags) -> list[dict[str, str]]:
    return [{"key": key, "value": value} for key, value in tags.items()]
