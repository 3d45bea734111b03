"""The grep of the canary tests finds what is there: otherwise its silence would mean nothing."""

import base64
import io
import json
import sqlite3
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest
from safetensors.numpy import save

from tests.support.canary import bytes_canary, gzipped, hits_in, hits_in_files, text_canary

TEXT = "Zörblax Quintessa 4711"
TOKENS = [7, 99, 12, 55, 31, 8, 101]
CANARIES = [text_canary(TEXT, TOKENS)]


def zipped(data: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("inner.txt", data)
    return buffer.getvalue()


FORMS: dict[str, Callable[[bytes], bytes]] = {
    "as it is": lambda raw: raw,
    "upper case": lambda raw: raw.decode().upper().encode(),
    "json": lambda raw: json.dumps({"a": raw.decode()}).encode(),
    "base64": base64.b64encode,
    "base64, one byte later": lambda raw: base64.b64encode(b"x" + raw + b"yz"),
    "base64, two bytes later": lambda raw: base64.urlsafe_b64encode(b"xy" + raw + b"z"),
    "hex": lambda raw: raw.hex().upper().encode(),
    "percent": lambda raw: quote(raw.decode()).encode(),
    "utf-16": lambda raw: raw.decode().encode("utf-16"),
    "utf-16-be": lambda raw: raw.decode().encode("utf-16-be"),
    "gzip": gzipped,
    "zip": zipped,
    "zlib": zlib.compress,
    "zlib in gzip in zip": lambda raw: zipped(gzipped(zlib.compress(raw))),
    "json in base64 in gzip": lambda raw: gzipped(base64.b64encode(json.dumps(raw.decode()).encode())),
    "safetensors metadata": lambda raw: save({"x": np.zeros(2)}, {"note": raw.decode()}),
}


@pytest.mark.parametrize("form", FORMS)
def test_it_finds_a_string_in_the_midst_of_other_bytes(form: str) -> None:
    planted = FORMS[form](TEXT.encode())
    data = planted if form.startswith(("zip", "zlib in")) else b"\x00before\xff" + planted + b"\x00after"
    assert hits_in(CANARIES, data, "there")


@pytest.mark.parametrize("kind", ["int16", "int32", "int64", "float32"])
def test_it_finds_token_ids_in_a_tensor(kind: str) -> None:
    assert hits_in(CANARIES, save({"ids": np.array([1, 2, *TOKENS, 3], dtype=kind)}), "there")


def test_it_finds_rows_of_a_database_and_names_of_files(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "scratch.db") as connection:
        connection.execute("CREATE TABLE t (text, zipped)")
        connection.execute("INSERT INTO t VALUES (?, ?)", (TEXT, gzipped(TEXT.encode())))
    connection.close()
    (tmp_path / f"{TEXT}.txt").write_text("nothing")
    places = {hit.place for hit in hits_in_files(CANARIES, [tmp_path])}
    assert any(place.endswith("scratch.db") for place in places)
    assert any("scratch.db@" in place for place in places)
    assert any(place.startswith("name of ") for place in places)


def test_it_finds_bytes() -> None:
    key = bytes(range(7, 67))
    for data in (key, key.hex().encode(), base64.b64encode(b"ab" + key)):
        assert hits_in([bytes_canary("key", key)], b"..." + data + b"...", "there")


def test_it_finds_nothing_where_nothing_is() -> None:
    other = json.dumps({"text": "Zorblax Quintessa 4712", "ids": TOKENS}).encode()
    assert not hits_in(CANARIES, other + gzipped(other) + np.array(TOKENS[:-1]).tobytes(), "there")
