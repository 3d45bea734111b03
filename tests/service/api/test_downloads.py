"""Downloads: conditional, partial, verifiable, and over when a version is withdrawn (RFC 9110, RFC 9530)."""

import base64
import gzip
import hashlib
import io
import tarfile
import zipfile

import pytest
from fastapi.testclient import TestClient

from service.domain.adapters import BaseModelRef, Policy, TrainingFormat
from service.domain.runs import RunKind
from service.domain.scopes import Scope
from service.flows.add_version import VersionSource, add_version
from service.flows.lines import create_line
from service.flows.withdraw import withdraw_due
from tests.support.api import Api, assert_problem, removal
from tests.support.house import ACTOR, RECIPE, people

V1 = "/v1/adapters/bot/versions/v1"
WEIGHTS = f"{V1}/files/adapter_model.safetensors"
ARCHIVE = f"{V1}/archive"


@pytest.fixture(
    params=[WEIGHTS, ARCHIVE, f"{ARCHIVE}?format=tar", f"{ARCHIVE}?format=zip"], ids=["file", "tar.gz", "tar", "zip"]
)
def path(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def whole(ready: Api, path: str) -> bytes:
    return ready.client.get(path).content


def names_in(archive: bytes, kind: str) -> list[str]:
    if kind == "zip":
        with zipfile.ZipFile(io.BytesIO(archive)) as zipped:
            return zipped.namelist()
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        return tar.getnames()


class TestWhole:
    def test_the_file_is_the_one_the_version_lists(self, ready: Api) -> None:
        version = ready.client.get(V1).json()
        for name, entry in version["files"].items():
            response = ready.client.get(f"{V1}/files/{name}")
            assert hashlib.sha256(response.content).hexdigest() == entry["sha256"]
            assert len(response.content) == entry["size"] == int(response.headers["content-length"])
            assert response.headers["etag"] == f'"sha256:{entry["sha256"]}"'
            digest = base64.b64encode(bytes.fromhex(entry["sha256"])).decode()
            assert response.headers["repr-digest"] == f"sha-256=:{digest}:"

    def test_the_archive_holds_the_files(self, ready: Api) -> None:
        version = ready.client.get(V1).json()
        response = ready.client.get(ARCHIVE)
        assert response.headers["etag"] == f'"{version["digest"]}"'
        assert response.headers["content-type"] == "application/gzip"
        with tarfile.open(fileobj=io.BytesIO(gzip.decompress(response.content))) as archive:
            content = {member.name: archive.extractfile(member) for member in archive}
        assert set(content) == set(version["files"])

    @pytest.mark.parametrize(
        ("kind", "media_type"),
        [("tar.gz", "application/gzip"), ("tar", "application/x-tar"), ("zip", "application/zip")],
    )
    def test_it_comes_in_three_formats_with_a_tag_each(self, ready: Api, kind: str, media_type: str) -> None:
        version = ready.client.get(V1).json()
        response = ready.client.get(ARCHIVE, params={"format": kind})
        assert response.headers["content-type"] == media_type
        assert response.headers["content-disposition"] == f'attachment; filename="bot-v1.{kind}"'
        tag = version["digest"] if kind == "tar.gz" else f"{version['digest']}.{kind}"
        assert response.headers["etag"] == f'"{tag}"'
        assert names_in(response.content, kind) == sorted(version["files"])

    def test_a_part_of_one_format_is_not_completed_with_another(self, ready: Api) -> None:
        etag = ready.client.get(ARCHIVE, params={"format": "tar"}).headers["etag"]
        response = ready.client.get(ARCHIVE, params={"format": "zip"}, headers={"Range": "bytes=4-", "If-Range": etag})
        assert response.status_code == 200

    def test_an_unknown_format(self, ready: Api) -> None:
        response = ready.client.get(ARCHIVE, params={"format": "rar"})
        assert_problem(response, 422, "invalid-input", field="format")

    def test_headers_name_the_version_whatever_it_was_called(self, ready: Api, path: str) -> None:
        for name in ("v1", "production"):
            response = ready.client.get(path.replace("/v1/archive", f"/{name}/archive").replace("/v1/f", f"/{name}/f"))
            assert response.headers["x-lethe-version"] == "bot@v1"
            assert response.headers["x-lethe-digest"].startswith("sha256:")
            assert response.headers["cache-control"] == "private, no-cache"
            assert response.headers["accept-ranges"] == "bytes"

    def test_head_says_the_same_without_the_bytes(self, ready: Api, path: str, whole: bytes) -> None:
        get, head = ready.client.get(path), ready.client.head(path)
        assert head.status_code == 200
        assert head.content == b""
        assert dict(head.headers) == dict(get.headers)

    def test_an_unknown_file(self, ready: Api) -> None:
        assert_problem(ready.client.get(f"{V1}/files/pytorch_model.bin"), 404, "unknown-file", field="file")
        assert_problem(ready.client.get(f"{V1}/files/..%2F..%2Fetc%2Fpasswd"), 404, "unknown-route")

    @pytest.mark.parametrize("version", ["v2", "v0", "v01", "staging", "v99999999999999999999"])
    def test_an_unknown_version(self, ready: Api, version: str) -> None:
        response = ready.client.get(f"/v1/adapters/bot/versions/{version}/archive")
        assert_problem(response, 404, "unknown-version")


class TestConditions:
    @pytest.mark.parametrize("form", ["{}", "W/{}", '"other", {}', "*"])
    def test_what_the_client_has_is_not_sent(self, ready: Api, path: str, form: str) -> None:
        etag = ready.client.get(path).headers["etag"]
        for method in ("GET", "HEAD"):
            response = ready.client.request(method, path, headers={"If-None-Match": form.format(etag)})
            assert response.status_code == 304
            assert response.content == b""
            assert response.headers["etag"] == etag

    def test_what_it_has_not_is(self, ready: Api, path: str, whole: bytes) -> None:
        response = ready.client.get(path, headers={"If-None-Match": '"sha256:other"'})
        assert (response.status_code, response.content) == (200, whole)

    @pytest.mark.parametrize("form", ["{}", '"other", {}', "*"])
    def test_if_match_holds(self, ready: Api, path: str, whole: bytes, form: str) -> None:
        etag = ready.client.get(path).headers["etag"]
        assert ready.client.get(path, headers={"If-Match": form.format(etag)}).content == whole

    @pytest.mark.parametrize("form", ['"other"', "W/{}"])
    def test_if_match_does_not_hold(self, ready: Api, path: str, form: str) -> None:
        etag = ready.client.get(path).headers["etag"]
        response = ready.client.get(path, headers={"If-Match": form.format(etag)})
        assert_problem(response, 412, "precondition-failed", field="If-Match")

    def test_if_match_is_asked_first(self, ready: Api, path: str) -> None:
        etag = ready.client.get(path).headers["etag"]
        response = ready.client.get(path, headers={"If-Match": '"other"', "If-None-Match": etag})
        assert response.status_code == 412


class TestRanges:
    @pytest.mark.parametrize(
        "asked",
        [
            "bytes=0-0",
            "bytes=0-",
            "bytes=3-7",
            "bytes=5-",
            "bytes=-4",
            "bytes=-100000",
            "bytes=7-100000",
            "bytes= 1-2",
        ],
    )
    def test_one_range(self, ready: Api, path: str, whole: bytes, asked: str) -> None:
        first, _, last = asked.removeprefix("bytes=").strip().partition("-")
        if not first:
            start, stop = max(0, len(whole) - int(last)), len(whole)
        else:
            start, stop = int(first), min(int(last) + 1, len(whole)) if last else len(whole)
        response = ready.client.get(path, headers={"Range": asked})
        assert response.status_code == 206
        assert response.content == whole[start:stop]
        assert response.headers["content-range"] == f"bytes {start}-{stop - 1}/{len(whole)}"
        assert int(response.headers["content-length"]) == stop - start
        assert response.headers["etag"] == ready.client.get(path).headers["etag"]

    def test_ranges_put_together_are_the_whole(self, ready: Api, path: str, whole: bytes) -> None:
        step = max(1, len(whole) // 7)
        parts = [
            ready.client.get(path, headers={"Range": f"bytes={start}-{start + step - 1}"}).content
            for start in range(0, len(whole), step)
        ]
        assert b"".join(parts) == whole

    @pytest.mark.parametrize("form", ["bytes={}-", "bytes={}-{}", "bytes=-0"])
    def test_a_range_outside(self, ready: Api, path: str, whole: bytes, form: str) -> None:
        response = ready.client.get(path, headers={"Range": form.format(len(whole), len(whole) + 9)})
        assert_problem(response, 416, "range-not-satisfiable")
        assert response.headers["content-range"] == f"bytes */{len(whole)}"

    @pytest.mark.parametrize(
        "asked", ["bytes=0-1,3-4", "bytes=5-3", "bytes=-", "bytes=x-y", "lines=0-1", "0-1", "bytes=٠-١"]
    )
    def test_ranges_that_may_be_ignored(self, ready: Api, path: str, whole: bytes, asked: str) -> None:
        response = ready.client.get(path, headers={"Range": asked.encode()})  # type: ignore[dict-item]
        assert (response.status_code, response.content) == (200, whole)

    def test_a_resumed_download_goes_on_if_the_content_is_the_same(self, ready: Api, path: str, whole: bytes) -> None:
        etag = ready.client.get(path).headers["etag"]
        response = ready.client.get(path, headers={"Range": "bytes=4-", "If-Range": etag})
        assert (response.status_code, response.content) == (206, whole[4:])

    @pytest.mark.parametrize("other", ['"sha256:other"', "W/{}", "Sat, 29 Oct 1994 19:43:31 GMT"])
    def test_and_starts_anew_if_not(self, ready: Api, path: str, whole: bytes, other: str) -> None:
        etag = ready.client.get(path).headers["etag"]
        response = ready.client.get(path, headers={"Range": "bytes=4-", "If-Range": other.format(etag)})
        assert (response.status_code, response.content) == (200, whole)

    def test_a_resumed_download_by_alias_does_not_mix_versions(self, api: Api, line: str) -> None:
        production = "/v1/adapters/bot/versions/production/files/adapter_model.safetensors"
        before = api.client.get(production)
        api.client.post("/v1/unlearning-requests", json=removal("p1-0"))
        api.serve(line)
        headers = {"Range": "bytes=4-", "If-Range": before.headers["etag"]}
        after = api.client.get(production, headers=headers)
        assert after.status_code == 200
        assert after.headers["x-lethe-version"] == "bot@v2"
        assert after.content != before.content


class TestState:
    def test_a_version_in_preparation(self, api: Api) -> None:
        with api.store.write() as unit:
            create_line(unit, "new", BaseModelRef(path="/base"), Policy(), actor=ACTOR)
        dataset = api.upload(people(3))
        with api.store.write() as unit:
            source = VersionSource(RunKind.train, dataset, None, RECIPE, TrainingFormat())
            add_version(unit, "new", source, actor=ACTOR)
        for part in ("archive", "files/adapter_config.json"):
            response = api.client.get(f"/v1/adapters/new/versions/v1/{part}")
            assert_problem(response, 409, "version-not-ready")

    @pytest.fixture
    def superseded(self, api: Api) -> str:
        """v1, the anchor, past its grace period; v2 forgot something."""
        line = api.line("bot", people(10), grace_period_s=0)
        api.client.post("/v1/unlearning-requests", json=removal("p1-0"))
        api.serve(line)
        with api.store.write() as unit:
            assert withdraw_due(unit) == 1
        return line

    @pytest.mark.parametrize("url", [WEIGHTS, ARCHIVE])
    def test_a_quarantined_anchor_is_gone_though_its_bytes_are_there(
        self, api: Api, superseded: str, url: str
    ) -> None:
        assert api.client.get(V1).json()["state"] == "quarantined"
        assert_problem(api.client.get(url), 410, "version-withdrawn")
        assert api.client.head(url).status_code == 410
        assert api.client.get(url.replace("/v1/archive", "/v2/archive").replace("/v1/f", "/v2/f")).is_success

    def test_no_condition_helps(self, api: Api, line: str) -> None:
        etag = api.client.get(WEIGHTS).headers["etag"]
        api.client.post("/v1/unlearning-requests", json=removal("p1-0"))
        api.serve(line)
        assert api.client.post("/v1/adapters/bot/withdraw", json={"versions": ["v1"]}).status_code == 200
        for headers in ({"If-None-Match": etag}, {"If-Match": etag}, {"Range": "bytes=0-1"}):
            assert_problem(api.client.get(WEIGHTS, headers=headers), 410, "version-withdrawn")

    @pytest.mark.parametrize("url", [WEIGHTS])
    def test_bytes_that_are_deleted_while_the_call_is_on_its_way(self, api: Api, line: str, url: str) -> None:
        with api.store.read() as unit:
            version = unit.versions.of_line(line)[0]
        api.blobs.delete_tree(str(version.blob_prefix))
        assert_problem(api.client.get(url), 410, "version-withdrawn")


def test_a_key_of_another_line(ready: Api) -> None:
    stranger: TestClient = ready.client_with(Scope.adapters_read, lines=["other"])
    for url in (V1, WEIGHTS, ARCHIVE):
        assert_problem(stranger.get(url), 404, "unknown-adapter")
