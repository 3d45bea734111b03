"""Hostile artefacts, as an attacker would upload them. Finer cases are in tests/service/store.

What the specimens would do if they worked is to make the directory `PWNED`.
"""

import gzip
import io
import json
import pickle
import struct
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from tests.support import uploads

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
PWNED = "/tmp/lethe-pwned"
JINJA = "{{ cycler.__init__.__globals__.os.mkdir('" + PWNED + "') }}"
TENSOR = next(iter(uploads.tensors()))


@dataclass(frozen=True)
class Specimen:
    """An upload, and the code under which it is refused; None if it is harmless once it was taken in."""

    name: str
    code: str | None
    make: Callable[[], bytes]


class _Payload:
    def __reduce__(self) -> tuple[Any, ...]:
        return __import__("os").mkdir, (PWNED,)


def pickled() -> bytes:
    return pickle.dumps(_Payload())


def torch_archive() -> bytes:
    """What torch.save writes: a zip file with a pickle."""
    return zipped({"archive/data.pkl": pickled(), "archive/version": b"3\n"})


def zipped(files: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def tarred(files: Mapping[str, bytes], *others: tarfile.TarInfo) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
        for entry in others:
            tar.addfile(entry)
    return buffer.getvalue()


def _entry(kind: bytes, name: str = CONFIG, target: str = "") -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname = kind, target
    return entry


def _sparse() -> bytes:
    """An entry of GNU's old sparse kind that states to hold a terabyte."""
    block = bytearray(_entry(tarfile.GNUTYPE_SPARSE, WEIGHTS).tobuf(tarfile.GNU_FORMAT))
    block[483:495] = b"%011o\0" % 2**33
    block[148:156] = b"        "
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block) + bytes(1024)


def with_(name: str, data: bytes = b"x", pack: Callable[[Mapping[str, bytes]], bytes] = zipped) -> bytes:
    """A good adapter with one file more."""
    return pack({**uploads.files(), name: data})


def configured(**members: Any) -> bytes:
    return zipped(uploads.files(**members))


def config_text(text: bytes) -> bytes:
    return zipped({**uploads.files(), CONFIG: text})


def weights(data: bytes) -> bytes:
    return tarred({**uploads.files(), WEIGHTS: data})


def raw(header: bytes, data: bytes = b"", length: int | None = None) -> bytes:
    """A weights file with this header."""
    return struct.pack("<Q", len(header) if length is None else length) + header + data


def described(members: Mapping[str, Any], size: int) -> bytes:
    """An adapter whose weights file describes `size` bytes like this."""
    return weights(raw(json.dumps(members).encode(), bytes(size)))


def tensor(begin: int, end: int, dtype: str = "F32", shape: tuple[int, ...] | None = None) -> dict[str, Any]:
    return {"dtype": dtype, "shape": [(end - begin) // 4] if shape is None else shape, "data_offsets": [begin, end]}


def valued(value: float) -> bytes:
    sick = uploads.tensors()
    sick[TENSOR][-1, -1] = value
    return zipped(uploads.files(sick))


def bomb(size: int) -> bytes:
    return with_("README.md", bytes(size))


def gzip_bomb(size: int) -> bytes:
    return gzip.compress(tarred({**uploads.files(), "README.md": bytes(size)}), 9)


def gzip_chain() -> bytes:
    """Two hundred thousand gzip members without content."""
    return gzip.compress(b"", mtime=0) * 200_000


_NAMES = {
    "parent": "../evil",
    "nested parent": "bot/../../evil",
    "absolute": "/etc/cron.d/evil",
    "backslashes": "..\\..\\evil",
    "drive letter": "C:evil",
    "line break": "README.md\n/evil",
}
_LINKS = {
    "symbolic link": tarfile.SYMTYPE,
    "hard link": tarfile.LNKTYPE,
}
_SPECIAL = {"device": tarfile.CHRTYPE, "block device": tarfile.BLKTYPE, "fifo": tarfile.FIFOTYPE}
_FOREIGN_CODE = {
    "auto_mapping": {"base_model_class": "system", "parent_library": "os"},
    "megatron_core": "evil.megatron",
    "megatron_config": {"path": "evil"},
    "auto_map": {"AutoModel": "evil.py--Model"},
    "trust_remote_code": True,
    "custom_modules": {"torch.nn.Linear": "evil.Layer"},
    "_target_": "os.system",
    "runtime_config": {"ephemeral_gpu_offload": True},
}


def archives() -> list[Specimen]:
    good = uploads.files()
    return [
        *(Specimen(f"zip slip: {what}", "path-traversal", lambda n=name: with_(n)) for what, name in _NAMES.items()),
        *(
            Specimen(f"tar slip: {what}", "path-traversal", lambda n=name: with_(n, pack=tarred))
            for what, name in _NAMES.items()
        ),
        Specimen("zip slip: NUL", "path-traversal", lambda: with_("README.md#/../evil").replace(b".md#", b".md\0")),
        *(
            Specimen(what, "link", lambda k=kind: tarred({}, _entry(k, target="/etc/passwd")))
            for what, kind in _LINKS.items()
        ),
        *(Specimen(what, "special-file", lambda k=kind: tarred({}, _entry(k))) for what, kind in _SPECIAL.items()),
        Specimen("sparse file", "special-file", _sparse),
        Specimen("file twice", "duplicate-entry", lambda: tarred({**good, f"./{CONFIG}": good[CONFIG]})),
        Specimen("zip bomb", "compression-bomb", lambda: zipped({**good, WEIGHTS: bytes(64 * 2**20)})),
        Specimen("zip bomb that nobody unpacks", None, lambda: bomb(64 * 2**20)),
        Specimen("gzip bomb", "compression-bomb", lambda: gzip_bomb(64 * 2**20)),
        Specimen("nested archive", "unexpected-file", lambda: with_("more.zip", bomb(2**20))),
        Specimen("many entries", "too-many-entries", lambda: zipped({f"d{n}/": b"" for n in range(1001)})),
        Specimen("chain of empty gzip members", "broken-archive", gzip_chain),
        Specimen("code beside the weights", "unexpected-file", lambda: with_("modeling_evil.py", b"import os")),
    ]


def configurations() -> list[Specimen]:
    deep = b'{"r":' + b"[" * 200_000 + b"]" * 200_000 + b"}"
    digits = b'{"r":' + b"9" * 500_000 + b"}"
    infinite = uploads.config().replace(b": 8", b": 1e999")
    return [
        *(
            Specimen(f"configuration with {name}", None, lambda n=name, v=value: configured(**{n: v}))
            for name, value in _FOREIGN_CODE.items()
        ),
        Specimen("unknown peft_type", "peft-type", lambda: configured(peft_type="os.system")),
        Specimen("switch from the future", "unknown-option", lambda: configured(use_exec=True)),
        Specimen("huge rank", "config-malformed", lambda: configured(r=2**40)),
        Specimen("negative rank", "config-malformed", lambda: configured(r=-1)),
        Specimen("rank in half a million digits", "config-malformed", lambda: config_text(digits)),
        Specimen("infinite scaling", "config-malformed", lambda: config_text(infinite)),
        Specimen("deep configuration", "config-malformed", lambda: config_text(deep)),
        Specimen("configuration of 2 MiB", "config-malformed", lambda: config_text(b" " * 2**21 + b"{}")),
        Specimen("pattern that never ends", None, lambda: configured(target_modules="(a+)+(q|v)_proj$" * 20)),
        Specimen("chat template", None, lambda: with_("chat_template.jinja", JINJA.encode())),
        Specimen(
            "tokenizer with a template",
            None,
            lambda: with_("tokenizer_config.json", json.dumps({"chat_template": JINJA, "auto_map": {}}).encode()),
        ),
    ]


def tensors() -> list[Specimen]:
    return [
        Specimen("pickle", "pickle-weights", lambda: with_("adapter_model.bin", pickled())),
        Specimen("torch archive", "pickle-weights", lambda: with_("optimizer.pt", torch_archive())),
        Specimen("pickle in capitals", "pickle-weights", lambda: with_("ADAPTER_MODEL.BIN", pickled())),
        Specimen("pickle under a good name", "weights-header", lambda: weights(pickled())),
        Specimen("torch archive under a good name", "weights-header", lambda: weights(torch_archive())),
        Specimen("no weights", "missing-weights", lambda: zipped({CONFIG: uploads.config()})),
        Specimen("header of 100 MB and one", "weights-header", lambda: weights(raw(b"{}", length=100_000_001))),
        Specimen("header of 2^63 bytes", "weights-header", lambda: weights(raw(b"{}", length=2**63))),
        Specimen(
            "header full of lists", "weights-header", lambda: weights(raw(b'{"a":[' + b"[]," * 5_000_000 + b"0]}"))
        ),
        Specimen("deep header", "weights-header", lambda: weights(raw(b'{"a":' + b"[" * 1_000_000))),
        Specimen("name twice", "weights-header", lambda: weights(raw(b'{"a":{},"a":{}}'))),
        Specimen(
            "negative shape",
            "weights-header",
            lambda: described({TENSOR: tensor(0, 4, shape=(-1, -1))}, 4),
        ),
        Specimen(
            "shape of many axes",
            "weights-header",
            lambda: described({TENSOR: tensor(0, 4, shape=(2,) * 60)}, 4),
        ),
        Specimen("overlap", "weights-layout", lambda: described({"a": tensor(0, 8), "b": tensor(4, 12)}, 12)),
        Specimen("hole", "weights-layout", lambda: described({"a": tensor(0, 4), "b": tensor(8, 12)}, 12)),
        Specimen("more than was said", "weights-layout", lambda: described({"a": tensor(0, 4)}, 4096)),
        Specimen("cut short", "weights-layout", lambda: described({"a": tensor(0, 400)}, 4)),
        Specimen("integers", "weights-dtype", lambda: described({TENSOR: tensor(0, 4, "I32")}, 4)),
        Specimen("NaN", "nan-weights", lambda: valued(np.nan)),
        Specimen("infinity", "nan-weights", lambda: valued(-np.inf)),
        Specimen("another rank than said", "rank-mismatch", lambda: zipped(uploads.files(uploads.tensors(r=512)))),
        Specimen(
            "path in a tensor's name",
            "unexpected-tensor",
            lambda: zipped(uploads.files({**uploads.tensors(), "../../evil": np.ones(1, np.float32)})),
        ),
    ]


ADAPTERS = [*archives(), *configurations(), *tensors()]


def _line(**members: Any) -> bytes:
    return json.dumps({"id": "a", "prompt": "p", "completion": "c", **members}).encode()


DATASETS = [
    Specimen("deep line", "invalid-json", lambda: b'{"id":' + b"[" * 200_000 + b"]" * 200_000 + b"}"),
    Specimen("moderately deep line", "invalid-line", lambda: b'{"id":' + b"[" * 500 + b"]" * 500 + b"}"),
    Specimen("line of 5 MB", "line-too-long", lambda: _line(prompt="p" * 5_000_000)),
    Specimen("line without an end", "line-too-long", lambda: b"{" * 6_000_000),
    Specimen("number of ten thousand digits", "invalid-json", lambda: b'{"id":' + b"9" * 10_000 + b"}"),
    Specimen("half a surrogate pair", "invalid-line", lambda: b'{"id":"a","prompt":"\\ud800","completion":"c"}'),
    Specimen("surrogate in UTF-8", "invalid-utf8", lambda: b'{"id":"\xed\xa0\x80"}'),
    Specimen("no UTF-8", "invalid-utf8", lambda: b"\xff\xfe{}"),
    Specimen("NUL in an id", "invalid-line", lambda: _line(id="a\0b")),
    Specimen("NUL in a subject", "invalid-line", lambda: _line(subject="a\0b")),
    Specimen("NaN for a text", "invalid-line", lambda: b'{"id":"a","prompt":NaN,"completion":"c"}'),
    Specimen("unknown member", "invalid-line", lambda: _line(__class__="os.system")),
    Specimen("id of a megabyte", "invalid-line", lambda: _line(id="a" * 1_000_000)),
    Specimen("a pickle", "invalid-utf8", pickled),
    Specimen("NUL in the text", None, lambda: _line(prompt="a\0b")),
    Specimen("Jinja in the text", None, lambda: _line(prompt=JINJA)),
]
