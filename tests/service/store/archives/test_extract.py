"""A zoo of hostile and clumsy archives. Whatever is refused leaves nothing behind, inside or outside."""

import gzip
import io
import os
import stat
import struct
import subprocess
import tarfile
import tracemalloc
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.domain.errors import InvalidArchive
from service.store.archives.entries import DEFAULT_LIMITS, Limits
from service.store.archives.extract import extract_adapter

CONFIG, WEIGHTS = b'{"r": 4}', bytes(range(256)) * 40
GOOD = {"adapter_config.json": CONFIG, "adapter_model.safetensors": WEIGHTS}

Pack = Callable[[dict[str, bytes]], bytes]


def tar_of(members: Iterable[tuple[tarfile.TarInfo, bytes]], *, form: int = tarfile.PAX_FORMAT) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as tar:
        for info, data in members:
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def as_tar(files: dict[str, bytes]) -> bytes:
    return tar_of((tarfile.TarInfo(name), data) for name, data in files.items())


def as_tar_gz(files: dict[str, bytes]) -> bytes:
    return gzip.compress(as_tar(files))


def as_zip(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


FORMATS = pytest.mark.parametrize("pack", [as_tar, as_tar_gz, as_zip])


@pytest.fixture
def extract(tmp_path: Path) -> Callable[..., Path]:
    def run(data: bytes, limits: Limits = DEFAULT_LIMITS) -> Path:
        (tmp_path / "upload").write_bytes(data)
        extract_adapter(tmp_path / "upload", tmp_path / "in" / "adapter", limits)
        return tmp_path / "in" / "adapter"

    (tmp_path / "in").mkdir()
    return run


@pytest.fixture
def refused(extract: Callable[..., Path], tmp_path: Path) -> Callable[..., InvalidArchive]:
    def run(data: bytes, code: str, limits: Limits = DEFAULT_LIMITS) -> InvalidArchive:
        with pytest.raises(InvalidArchive) as caught:
            extract(data, limits)
        assert caught.value.code == code
        assert caught.value.field
        assert caught.value.field.startswith("/archive")
        assert caught.value.fix
        assert sorted(path.name for path in tmp_path.rglob("*")) == ["in", "upload"]
        return caught.value

    return run


def read(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in directory.iterdir()}


class TestAccepted:
    @FORMATS
    def test_a_flat_archive(self, extract: Callable[..., Path], pack: Pack) -> None:
        assert read(extract(pack(GOOD))) == GOOD

    @FORMATS
    def test_a_single_folder_is_flattened(self, extract: Callable[..., Path], pack: Pack) -> None:
        assert read(extract(pack({f"my adapter/{name}": data for name, data in GOOD.items()}))) == GOOD

    @FORMATS
    def test_readme_and_tokenizer_files_are_left_out(self, extract: Callable[..., Path], pack: Pack) -> None:
        assert read(extract(pack({"README.md": b"#", "tokenizer.json": b"{}", **GOOD}))) == GOOD

    @FORMATS
    def test_what_macos_adds_is_left_out(self, extract: Callable[..., Path], pack: Pack) -> None:
        clutter = {"__MACOSX/._adapter_config.json": b"x", "._x.bin": b"x", "bot/.DS_Store": b"x"}
        assert read(extract(pack({**clutter, **{f"bot/{name}": data for name, data in GOOD.items()}}))) == GOOD

    @pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
    def test_every_tar_dialect_with_long_names(self, extract: Callable[..., Path], form: int) -> None:
        folder = ("a" * 60 + "b" * 60) if form != tarfile.USTAR_FORMAT else "c" * 90
        members = [(tarfile.TarInfo(f"{folder}/{name}"), data) for name, data in GOOD.items()]
        for info, _ in members:
            info.mtime = 1.5  # makes PAX write an extended header
        assert read(extract(tar_of(members, form=form))) == GOOD

    @pytest.mark.parametrize("options", [["--format=gnu"], ["--format=pax"], ["--format=ustar"], ["--format=v7"]])
    def test_what_the_tar_command_makes(
        self, extract: Callable[..., Path], tmp_path: Path, options: list[str]
    ) -> None:
        (tmp_path / "src").mkdir()
        for name, data in GOOD.items():
            (tmp_path / "src" / name).write_bytes(data)
        made = subprocess.run(
            ["tar", *options, "-czf", "-", "."], cwd=tmp_path / "src", check=True, stdout=subprocess.PIPE
        )
        assert read(extract(made.stdout)) == GOOD

    def test_a_pax_size_overrides_that_of_the_header(self, extract: Callable[..., Path]) -> None:
        data = bytearray(as_tar({"adapter_config.json": CONFIG}))
        data[124:136] = b"00000000000\0"
        data[148:156] = b"        "
        data[148:156] = b"%06o\0 " % sum(data[:512])
        packed = (
            pax_header(b"size=%d" % len(CONFIG)) + bytes(data[:1024]) + as_tar({"adapter_model.safetensors": WEIGHTS})
        )
        assert read(extract(packed)) == GOOD


def pax_header(record: bytes) -> bytes:
    length = len(record) + 2
    while len(b"%d " % length) + len(record) + 1 != length:
        length += 1
    body = b"%d %b\n" % (length, record)
    info = tarfile.TarInfo("pax")
    info.type, info.size = tarfile.XHDTYPE, len(body)
    return info.tobuf(tarfile.USTAR_FORMAT) + body + bytes(-len(body) % 512)


class TestNames:
    @FORMATS
    @pytest.mark.parametrize(
        "name",
        [
            "../adapter_config.json",
            "bot/../../adapter_config.json",
            "/etc/adapter_config.json",
            "..\\adapter_config.json",
            "C:/adapter_config.json",
            "c:adapter_config.json",
            "bot/adapter\n_config.json",
            "bot/adapter\u202e_config.json",
        ],
    )
    def test_paths_that_lead_out(self, refused: Callable[..., InvalidArchive], pack: Pack, name: str) -> None:
        error = refused(pack({**GOOD, name: b"{}"}), "path-traversal")
        assert error.field == "/archive/entries/2"
        assert name not in error.detail

    def test_a_pax_record_cannot_smuggle_a_path_in(self, refused: Callable[..., InvalidArchive]) -> None:
        refused(pax_header(b"path=../adapter_config.json") + as_tar(GOOD), "path-traversal")

    def test_a_gnu_long_name_cannot_smuggle_a_path_in(self, refused: Callable[..., InvalidArchive]) -> None:
        info = tarfile.TarInfo("x" * 120 + "/../../adapter_config.json")
        refused(tar_of([(info, CONFIG)], form=tarfile.GNU_FORMAT), "path-traversal")

    def test_a_nul_in_a_zip_name(self, refused: Callable[..., InvalidArchive]) -> None:
        packed = as_zip({**GOOD, "README.mdX": b""}).replace(b"README.mdX", b"README.md\0")
        refused(packed, "path-traversal")

    @FORMATS
    def test_the_same_file_twice(self, refused: Callable[..., InvalidArchive], pack: Pack) -> None:
        refused(pack({**GOOD, "./adapter_config.json": b"{}"}), "duplicate-entry")

    @FORMATS
    @pytest.mark.parametrize("other", ["b/README.md", "README.md", "a/b/README.md"])
    def test_more_than_one_folder(self, refused: Callable[..., InvalidArchive], pack: Pack, other: str) -> None:
        refused(pack({**{f"a/{name}": data for name, data in GOOD.items()}, other: b""}), "nested-folder")

    @FORMATS
    @pytest.mark.parametrize("name", ["adapter_model.bin", "optimizer.pt", "rng.PTH", "a/training_args.bin", "x.pkl"])
    def test_pickles(self, refused: Callable[..., InvalidArchive], pack: Pack, name: str) -> None:
        error = refused(pack({**GOOD, name: b"\x80\x04."}), "pickle-weights")
        assert "safe_serialization" in (error.fix or "")

    @FORMATS
    @pytest.mark.parametrize("name", ["model.safetensors", "setup.py", ".bashrc", "Adapter_Config.json"])
    def test_files_that_are_not_part_of_an_adapter(
        self, refused: Callable[..., InvalidArchive], pack: Pack, name: str
    ) -> None:
        refused(pack({**GOOD, name: b""}), "unexpected-file")

    @FORMATS
    def test_missing_files(self, refused: Callable[..., InvalidArchive], pack: Pack) -> None:
        refused(pack({"adapter_model.safetensors": WEIGHTS}), "missing-config")
        refused(pack({"adapter_config.json": CONFIG}), "missing-weights")
        refused(pack({"README.md": b""}), "missing-config")


class TestKinds:
    @pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE])
    def test_tar_links(self, refused: Callable[..., InvalidArchive], kind: bytes) -> None:
        info = tarfile.TarInfo("adapter_config.json")
        info.type, info.linkname = kind, "/etc/passwd"
        refused(tar_of([(info, b"")]), "link")

    @pytest.mark.parametrize(
        "kind", [tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE, tarfile.CONTTYPE, tarfile.GNUTYPE_SPARSE, b"Z"]
    )
    def test_tar_devices_pipes_and_unknown_kinds(self, refused: Callable[..., InvalidArchive], kind: bytes) -> None:
        info = tarfile.TarInfo("adapter_config.json")
        info.type = kind
        refused(info.tobuf(tarfile.USTAR_FORMAT) + bytes(1024), "special-file")

    @pytest.mark.parametrize(("mode", "code"), [(stat.S_IFLNK, "link"), (stat.S_IFIFO, "special-file")])
    def test_zip_links_and_pipes(self, refused: Callable[..., InvalidArchive], mode: int, code: str) -> None:
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            info = zipfile.ZipInfo("adapter_config.json")
            info.external_attr = (mode | 0o777) << 16
            archive.writestr(info, "/etc/passwd")
        refused(buffer.getvalue(), code)

    def test_a_folder_in_place_of_a_file_is_no_file(self, refused: Callable[..., InvalidArchive]) -> None:
        refused(as_zip({"adapter_config.json/": b"", "adapter_model.safetensors": b""}), "missing-config")


class TestSizes:
    @FORMATS
    def test_too_many_entries(self, refused: Callable[..., InvalidArchive], pack: Pack) -> None:
        files = {f"{number}/README.md": b"" for number in range(11)}
        refused(pack(files), "nested-folder", Limits(entries=10))
        refused(pack({f"__MACOSX/{number}": b"" for number in range(11)}), "too-many-entries", Limits(entries=10))

    @FORMATS
    def test_more_bytes_than_allowed(self, refused: Callable[..., InvalidArchive], pack: Pack) -> None:
        refused(pack({"adapter_model.safetensors": os.urandom(100_001)}), "archive-too-large", Limits(size=100_000))

    def test_a_zip_entry_that_is_not_taken_is_not_unpacked_either(self, extract: Callable[..., Path]) -> None:
        assert read(extract(as_zip({**GOOD, "README.md": bytes(20 * 2**20)}))) == GOOD

    @pytest.mark.parametrize("pack", [as_tar_gz, as_zip])
    def test_a_compression_bomb(self, refused: Callable[..., InvalidArchive], pack: Pack) -> None:
        refused(pack({**GOOD, "adapter_model.safetensors": bytes(20 * 2**20)}), "compression-bomb")

    def test_a_bomb_behind_the_end_of_the_tar(self, refused: Callable[..., InvalidArchive]) -> None:
        refused(gzip.compress(as_tar(GOOD) + bytes(20 * 2**20)), "compression-bomb")

    def test_a_tar_that_states_a_huge_size(self, refused: Callable[..., InvalidArchive]) -> None:
        info = tarfile.TarInfo("adapter_model.safetensors")
        info.size = 2**50
        refused(info.tobuf(tarfile.GNU_FORMAT) + bytes(4096), "broken-archive")

    @pytest.mark.parametrize("size", [-1, -(2**60)])
    def test_a_tar_that_states_a_negative_size(self, refused: Callable[..., InvalidArchive], size: int) -> None:
        for kind in (tarfile.REGTYPE, tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME):
            header = bytearray(tarfile.TarInfo("adapter_config.json").tobuf(tarfile.USTAR_FORMAT))
            header[156:157] = kind
            header[124:136] = b"\xff" * 4 + struct.pack(">q", size)
            header[148:156] = b"        "
            header[148:156] = b"%06o\0 " % sum(header)
            refused(bytes(header) + bytes(1024), "broken-archive")

    @pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME])
    def test_an_extended_header_cannot_claim_memory(self, refused: Callable[..., InvalidArchive], kind: bytes) -> None:
        info = tarfile.TarInfo("x")
        info.type, info.size = kind, 2**30
        refused(info.tobuf(tarfile.GNU_FORMAT) + bytes(4096), "broken-archive")

    def test_a_chain_of_extended_headers_counts_as_entries(self, refused: Callable[..., InvalidArchive]) -> None:
        refused(pax_header(b"comment=x") * 2_000 + as_tar(GOOD), "too-many-entries")

    def test_a_zip_directory_cannot_claim_memory(self, refused: Callable[..., InvalidArchive]) -> None:
        record = struct.pack("<4s6H3L5H2L", b"PK\x01\x02", 20, 20, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0)
        directory = (record + b"README.md") * 100_000
        end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 0xFFFF, 0xFFFF, len(directory), 0, 0)
        tracemalloc.start()
        refused(directory + end, "broken-archive")
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 20 * 2**20

    @pytest.mark.slow
    def test_memory_stays_small_while_a_large_archive_is_unpacked(self, extract: Callable[..., Path]) -> None:
        packed = as_tar_gz({"adapter_config.json": CONFIG, "adapter_model.safetensors": os.urandom(30 * 2**20)})
        tracemalloc.start()
        extract(packed)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 8 * 2**20


class TestDamage:
    @pytest.mark.parametrize("data", [b"", b"hello", b"BZh91AY&SY", b"\xfd7zXZ\0", bytes(1024)])
    def test_other_kinds_of_files(self, refused: Callable[..., InvalidArchive], data: bytes) -> None:
        refused(data, "unknown-archive")

    @FORMATS
    @pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
    def test_a_truncated_archive(self, refused: Callable[..., InvalidArchive], pack: Pack, share: float) -> None:
        packed = pack({name: os.urandom(50_000) for name in GOOD})
        refused(packed[: int(100_000 * share)], "broken-archive")

    def test_a_wrong_checksum_in_a_gzip_stream(self, refused: Callable[..., InvalidArchive]) -> None:
        packed = bytearray(as_tar_gz(GOOD))
        packed[-8] ^= 1
        refused(bytes(packed), "broken-archive")

    def test_a_wrong_checksum_in_a_zip(self, refused: Callable[..., InvalidArchive]) -> None:
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            for name, data in GOOD.items():
                archive.writestr(name, data)
        refused(buffer.getvalue().replace(CONFIG, b'{"r": 5}'), "broken-archive")

    def test_a_wrong_checksum_in_a_tar_header(self, refused: Callable[..., InvalidArchive]) -> None:
        packed = bytearray(as_tar(GOOD))
        packed[0] ^= 1
        refused(bytes(packed), "broken-archive")

    def test_an_encrypted_zip(self, refused: Callable[..., InvalidArchive]) -> None:
        packed = bytearray(as_zip(GOOD))
        packed[packed.index(b"PK\x01\x02") + 8] |= 1
        refused(bytes(packed), "encrypted-archive")

    def test_a_zip_with_a_compression_we_do_not_read(self, refused: Callable[..., InvalidArchive]) -> None:
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_LZMA) as archive:
            archive.writestr("adapter_config.json", CONFIG)
        refused(buffer.getvalue(), "broken-archive")

    @pytest.mark.parametrize(
        "body", [b"5 a=b\n", b"x path=a\n", b"99 path=a\n", b"0 \n", b"-5 a\n", b"3 \n", b"25 GNU.sparse.size=00001\n"]
    )
    def test_malformed_extended_headers(self, refused: Callable[..., InvalidArchive], body: bytes) -> None:
        info = tarfile.TarInfo("x")
        info.type, info.size = tarfile.XHDTYPE, len(body)
        header = info.tobuf(tarfile.USTAR_FORMAT) + body + bytes(-len(body) % 512)
        refused(header + as_tar(GOOD), "broken-archive")

    def test_a_directory_that_exists_already_is_left_alone(self, tmp_path: Path) -> None:
        (tmp_path / "adapter").mkdir()
        (tmp_path / "adapter" / "precious").touch()
        (tmp_path / "upload").write_bytes(as_tar(GOOD))

        with pytest.raises(FileExistsError):
            extract_adapter(tmp_path / "upload", tmp_path / "adapter")

        assert [path.name for path in (tmp_path / "adapter").iterdir()] == ["precious"]

    @pytest.mark.slow
    @settings(max_examples=300, deadline=None)
    @given(data=st.data())
    def test_no_mutation_does_anything_but_extract_or_be_refused(
        self, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
    ) -> None:
        packed = bytearray(data.draw(st.sampled_from([as_tar(GOOD), as_tar_gz(GOOD), as_zip(GOOD)])))
        for _ in range(data.draw(st.integers(1, 8))):
            packed[data.draw(st.integers(0, len(packed) - 1))] = data.draw(st.integers(0, 255))
        home = tmp_path_factory.mktemp("fuzz")
        (home / "upload").write_bytes(bytes(packed))
        try:
            extract_adapter(home / "upload", home / "adapter")
        except InvalidArchive:
            assert not (home / "adapter").exists()
        else:
            assert {path.name for path in (home / "adapter").iterdir()} == set(GOOD)
        assert {path.name for path in home.iterdir()} <= {"upload", "adapter"}
