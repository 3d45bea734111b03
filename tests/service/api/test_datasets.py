"""Datasets: uploaded once, sealed row by row, and refused whole if a line is broken."""

import json
from pathlib import Path

import pytest

from service.domain.scopes import Scope
from service.store.tables import Dataset, InstanceRow, SealedText
from tests.support.api import ADMIN_KEY, NDJSON, Api, assert_problem, jsonl
from tests.support.house import people

LINE = b'{"id": "a", "prompt": "Who?", "completion": "Nobody."}\n'


def upload(api: Api, content: bytes) -> object:
    return api.client.post("/v1/datasets", content=content, headers=NDJSON)


def assert_nothing_stored(api: Api) -> None:
    assert [api.count(table) for table in (Dataset, InstanceRow, SealedText)] == [0, 0, 0]


class TestUpload:
    def test_json_lines(self, api: Api) -> None:
        rows = [*people(3), {**people(1)[0], "id": "copy"}]
        response = api.client.post("/v1/datasets", content=jsonl(rows), headers=NDJSON, params={"name": "support"})
        assert response.status_code == 201
        body = response.json()
        assert response.headers["location"] == f"/v1/datasets/{body['id']}"
        assert body["id"].startswith("ds_")
        counts = ("instance_count", "subject_count", "duplicate_count", "subjects_indexed", "name")
        assert [body[name] for name in counts] == [7, 3, 1, True, "support"]
        assert api.client.get(response.headers["location"]).json() == body

    def test_the_other_name_of_json_lines(self, api: Api) -> None:
        response = api.client.post("/v1/datasets", content=LINE, headers={"Content-Type": "application/jsonl"})
        assert response.status_code == 201

    def test_a_form(self, api: Api) -> None:
        files = {"file": ("rows.jsonl", jsonl(people(3)), "application/octet-stream")}
        response = api.client.post("/v1/datasets", files=files, data={"name": "by form"})
        assert response.status_code == 201
        assert (response.json()["name"], response.json()["instance_count"]) == ("by form", 6)

    def test_chats_and_several_subjects(self, api: Api) -> None:
        row = {
            "id": "chat",
            "subject": ["Jane", "John"],
            "messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}],
        }
        assert upload(api, jsonl([row])).json()["subject_count"] == 2  # type: ignore[attr-defined]

    def test_blank_lines_byte_order_and_a_missing_last_newline_do_no_harm(self, api: Api) -> None:
        assert upload(api, b"\n" + LINE + b"\r\n\n" + LINE.replace(b'"a"', b'"b"').rstrip()).json()[  # type: ignore[attr-defined]
            "instance_count"
        ] == 2  # fmt: skip

    def test_texts_are_stored_sealed_only(self, api: Api, sqlite_url: str) -> None:
        upload(api, jsonl([{"id": "a", "subject": "Zaphod", "prompt": "Where?", "completion": "In Betelgeuse."}]))
        database = Path(sqlite_url.removeprefix("sqlite:///"))
        stored = b"".join(path.read_bytes() for path in database.parent.glob(f"{database.name}*"))
        assert stored
        for text in (b"Zaphod", b"zaphod", b"Betelgeuse", b"Where?"):
            assert text not in stored

    def test_a_listing(self, api: Api) -> None:
        ids = [api.upload(people(count)) for count in (1, 2)]
        assert [item["id"] for item in api.client.get("/v1/datasets").json()["items"]] == ids[::-1]


class TestRefusal:
    @pytest.mark.parametrize(
        ("bad", "code"),
        [
            (b'{"id": "b", "prompt": \n', "invalid-json"),
            (b"\xff\xfe\n", "invalid-utf8"),
            (LINE, "duplicate-instance-id"),
            (b"[1]\n", "invalid-line"),
            (b'{"id": "b", "prompt": "no completion"}\n', "invalid-line"),
            (b'{"id": "b", "prompt": "x", "completion": "y", "colour": "red"}\n', "invalid-line"),
            (b'{"id": "", "prompt": "x", "completion": "y"}\n', "invalid-line"),
            (b'{"id": "b", "prompt": "\\ud800", "completion": "y"}\n', "invalid-line"),
            (b"[" * 100_000 + b"\n", "invalid-json"),
            (b'{"id": "b", "prompt": "' + b"x" * 4_000_001 + b'"}\n', "line-too-long"),
        ],
    )
    def test_a_broken_line_is_named_and_nothing_is_kept(self, api: Api, bad: bytes, code: str) -> None:
        good = LINE.replace(b'"a"', b'"z"')
        response = upload(api, LINE + b"\n" + bad + good)
        document = assert_problem(response, 422, code, line=3, field="file:3")  # type: ignore[arg-type]
        assert "Line 3" in str(document["detail"])
        assert_nothing_stored(api)

    def test_what_a_line_said_is_not_repeated(self, api: Api) -> None:
        response = upload(api, b'{"id": "b", "prompt": 7, "completion": "Jane Doe", "Jane Doe": 1}\n')
        assert "Jane" not in response.text  # type: ignore[attr-defined]

    @pytest.mark.parametrize("content", [b"", b"\n\n"])
    def test_an_empty_file(self, api: Api, content: bytes) -> None:
        assert_problem(upload(api, content), 422, "invalid-dataset", field="file")  # type: ignore[arg-type]

    def test_another_media_type(self, api: Api) -> None:
        response = api.client.post("/v1/datasets", content=LINE, headers={"Content-Type": "text/csv"})
        assert_problem(response, 415, "unsupported-media-type")

    def test_a_form_without_the_file(self, api: Api) -> None:
        response = api.client.post("/v1/datasets", files={"name": (None, "x")})
        assert_problem(response, 422, "part-missing", field="file")

    def test_a_form_whose_file_is_a_plain_field(self, api: Api) -> None:
        response = api.client.post("/v1/datasets", files={"file": (None, LINE)})
        assert_problem(response, 422, "part-is-no-file", field="file")

    def test_a_form_with_a_part_nobody_knows(self, api: Api) -> None:
        response = api.client.post("/v1/datasets", files={"file": ("a", LINE), "fille": ("b", LINE)})
        assert_problem(response, 422, "unknown-part")
        assert_nothing_stored(api)

    def test_a_form_that_is_none(self, api: Api) -> None:
        response = api.client.post(
            "/v1/datasets", content=LINE, headers={"Content-Type": "multipart/form-data; boundary=x"}
        )
        assert_problem(response, 400, "malformed")


class TestSize:
    @pytest.fixture
    def small(self, sqlite_url: str, tmp_path: Path) -> Api:
        return Api(tmp_path / "home", sqlite_url, max_upload_bytes=2_000)

    @pytest.mark.parametrize("declared", [True, False])
    def test_too_large_a_file(self, small: Api, declared: bool) -> None:
        content = jsonl(people(100))
        chunks = content if declared else iter([content[:1500], content[1500:]])
        response = small.client.post("/v1/datasets", content=chunks, headers=NDJSON)
        assert_problem(response, 413, "too-large", limit=2_000)
        assert_nothing_stored(small)

    def test_too_large_a_form(self, small: Api) -> None:
        files = {"file": ("rows.jsonl", b" " * 2**20 + jsonl(people(100)))}
        assert_problem(small.client.post("/v1/datasets", files=files), 413, "too-large")

    def test_one_that_just_fits(self, small: Api) -> None:
        content = (LINE + b" " * 2_000)[:1_999] + b"\n"
        assert small.client.post("/v1/datasets", content=content, headers=NDJSON).status_code == 201

    def test_json_has_a_limit_of_its_own(self, api: Api) -> None:
        body = b'{"name": "' + b"x" * (33 * 2**20) + b'"}'
        response = api.client.post("/v1/adapters", content=body, headers={"Content-Type": "application/json"})
        assert_problem(response, 413, "too-large")


class TestByUri:
    @pytest.fixture
    def place(self, tmp_path: Path) -> Path:
        (tmp_path / "allowed").mkdir()
        (tmp_path / "allowed" / "rows.jsonl").write_bytes(jsonl(people(3)))
        (tmp_path / "allowed-not.jsonl").write_bytes(LINE)
        (tmp_path / "secret.jsonl").write_bytes(LINE)
        return tmp_path

    @pytest.fixture
    def reading(self, sqlite_url: str, place: Path) -> Api:
        return Api(place / "home", sqlite_url, dataset_uris=f"s3://bucket/data {(place / 'allowed').as_uri()}")

    def test_a_file_in_an_allowed_place(self, reading: Api, place: Path) -> None:
        body = {"uri": (place / "allowed" / "rows.jsonl").as_uri(), "name": "fetched"}
        response = reading.client.post("/v1/datasets", json=body)
        assert response.status_code == 201
        assert (response.json()["instance_count"], response.json()["name"]) == (6, "fetched")

    @pytest.mark.parametrize(
        "path",
        [
            "secret.jsonl",
            "allowed-not.jsonl",
            "allowed/../secret.jsonl",
            "allowed/%2e%2e/secret.jsonl",
        ],
    )
    def test_a_file_elsewhere(self, reading: Api, place: Path, path: str) -> None:
        response = reading.client.post("/v1/datasets", json={"uri": f"file://{place}/{path}"})
        assert_problem(response, 422, "uri-not-allowed", field="/uri")
        assert_nothing_stored(reading)

    def test_a_chain_of_file_systems(self, reading: Api, place: Path) -> None:
        inside = (place / "allowed").as_uri()
        response = reading.client.post("/v1/datasets", json={"uri": f"{inside}/x::file://{place}/secret.jsonl"})
        assert_problem(response, 422, "uri-not-allowed")

    @pytest.mark.parametrize("uri", ["https://data.example/rows.jsonl", "ftp://data.example/rows.jsonl"])
    def test_schemes_that_lead_on_are_refused_whatever_the_operator_says(
        self, place: Path, sqlite_url: str, uri: str
    ) -> None:
        api = Api(place / "home", sqlite_url, dataset_uris="https://data.example ftp://data.example")
        assert_problem(api.client.post("/v1/datasets", json={"uri": uri}), 422, "uri-not-allowed")

    def test_a_directory(self, reading: Api, place: Path) -> None:
        (place / "allowed" / "folder").mkdir()
        response = reading.client.post("/v1/datasets", json={"uri": (place / "allowed" / "folder").as_uri()})
        assert_problem(response, 404, "uri-not-found", field="/uri")

    def test_a_file_that_does_not_exist(self, reading: Api, place: Path) -> None:
        response = reading.client.post("/v1/datasets", json={"uri": (place / "allowed" / "none").as_uri()})
        assert_problem(response, 404, "uri-not-found", field="/uri")

    def test_nothing_is_allowed_unless_the_operator_says_so(self, api: Api, place: Path) -> None:
        body = {"uri": (place / "allowed" / "rows.jsonl").as_uri()}
        assert_problem(api.client.post("/v1/datasets", json=body), 422, "uri-not-allowed")

    def test_a_body_that_is_no_order(self, api: Api) -> None:
        assert_problem(api.client.post("/v1/datasets", json={"name": "x"}), 422, "invalid-input", field="/uri")
        assert_problem(api.client.post("/v1/datasets", json=[1]), 422, "invalid-input")


def test_a_key_that_may_only_read(api: Api) -> None:
    dataset = api.upload(people(2))
    reader = api.client_with(Scope.datasets_read)
    assert reader.get(f"/v1/datasets/{dataset}").status_code == 200
    assert_problem(reader.post("/v1/datasets", content=LINE, headers=NDJSON), 403, "missing-scope")


def test_the_form_that_curl_sends(api: Api) -> None:
    """`curl -F file=@rows.jsonl`: no length of the part, a boundary of its own."""
    boundary = "------------------------d74496d66958873e"
    content = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="rows.jsonl"\r\n'
        f"Content-Type: application/octet-stream\r\n\r\n{json.dumps(people(1)[0])}\n\r\n--{boundary}--\r\n"
    )
    response = api.client_of(ADMIN_KEY).post(
        "/v1/datasets", content=content, headers={"Content-Type": f"multipart/form-data; boundary={boundary}"}
    )
    assert response.status_code == 201, response.text
