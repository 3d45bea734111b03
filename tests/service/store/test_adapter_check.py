"""Uploaded adapters as a whole. What PEFT itself writes is tested in tests/workers, where torch is at hand."""

import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from safetensors.numpy import save, save_file

from service.domain.errors import InvalidArchive, InvalidInput, Unsupported
from service.store.adapter_check import CheckedAdapter, take_adapter

R, WIDTH = 4, 16
Tensors = dict[str, npt.NDArray[Any]]


def key(layer: int, module: str, side: str) -> str:
    return f"base_model.model.model.layers.{layer}.self_attn.{module}.lora_{side}.weight"


def lora(layers: int = 2, modules: tuple[str, ...] = ("q_proj", "v_proj"), r: int = R) -> Tensors:
    rng = np.random.default_rng(0)
    shapes = {"A": (r, WIDTH), "B": (WIDTH, r)}
    return {
        key(layer, module, side): rng.standard_normal(shapes[side], np.float32)
        for layer in range(layers)
        for module in modules
        for side in "AB"
    }


def config(**changes: Any) -> dict[str, Any]:
    return {
        "peft_type": "LORA",
        "r": R,
        "lora_alpha": 8,
        "target_modules": ["q_proj", "v_proj"],
        "base_model_name_or_path": "some/base",
        "auto_mapping": {"parent_library": "os"},
        **changes,
    }


@pytest.fixture
def take(tmp_path: Path) -> Callable[..., CheckedAdapter]:
    def run(tensors: Tensors, *, base: Path | None = None, **changes: Any) -> CheckedAdapter:
        files = {
            "adapter_config.json": json.dumps(config(**changes)).encode(),
            "adapter_model.safetensors": save(tensors),
        }
        with tarfile.open(tmp_path / "upload.tar.gz", "w:gz") as tar:
            for name, data in files.items():
                info = tarfile.TarInfo(name)
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
        return take_adapter(tmp_path / "upload.tar.gz", tmp_path / "adapter", base=base)

    return run


@pytest.fixture
def refused(take: Callable[..., CheckedAdapter], tmp_path: Path) -> Callable[..., InvalidInput]:
    def run(tensors: Tensors, code: str, **options: Any) -> InvalidInput:
        with pytest.raises((InvalidArchive, Unsupported)) as caught:
            take(tensors, **options)
        assert caught.value.code == code
        assert (caught.value.field or "").startswith("/archive/")
        assert caught.value.fix
        assert not (tmp_path / "adapter").exists()
        return caught.value

    return run


def base_model(directory: Path, *, layers: int = 2, width: int = WIDTH, name: str = "model.layers") -> Path:
    directory.mkdir()
    weights = {
        f"{name}.{layer}.self_attn.{module}.weight": np.zeros((width, width), np.float32)
        for layer in range(layers)
        for module in ("q_proj", "k_proj", "v_proj")
    }
    half = dict(list(weights.items())[: len(weights) // 2])
    save_file(half, directory / "model-00001-of-00002.safetensors")
    save_file({n: w for n, w in weights.items() if n not in half}, directory / "model-00002-of-00002.safetensors")
    return directory


def test_an_adapter_that_fits(take: Callable[..., CheckedAdapter], tmp_path: Path) -> None:
    checked = take(lora())

    assert (checked.spec.r, checked.spec.alpha, checked.spec.dropout) == (R, 8.0, 0.0)
    assert checked.spec.target_modules == ("q_proj", "v_proj")
    assert checked.base_model == "some/base"
    assert checked.modules == tuple(
        f"model.layers.{layer}.self_attn.{module}" for layer in (0, 1) for module in ("q_proj", "v_proj")
    )
    assert sorted(path.name for path in (tmp_path / "adapter").iterdir()) == [
        "adapter_config.json",
        "adapter_model.safetensors",
    ]


def test_the_configuration_is_replaced_and_the_weights_are_kept(
    take: Callable[..., CheckedAdapter], tmp_path: Path
) -> None:
    take(lora(), use_rslora=True)

    written = json.loads((tmp_path / "adapter" / "adapter_config.json").read_bytes())
    assert "auto_mapping" not in written
    assert "use_rslora" not in written
    assert written["lora_alpha"] == 16.0
    assert (tmp_path / "adapter" / "adapter_model.safetensors").read_bytes() == save(lora())


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_every_floating_point_type(take: Callable[..., CheckedAdapter], dtype: type) -> None:
    assert take({name: tensor.astype(dtype) for name, tensor in lora().items()}).spec.r == R


def test_patterns_become_full_paths(take: Callable[..., CheckedAdapter]) -> None:
    checked = take(lora(layers=1), target_modules=r".*\.0\..*(q|v)_proj")

    assert checked.spec.target_modules == checked.modules


def test_declared_names_without_tensors_are_dropped_and_full_paths_kept(
    take: Callable[..., CheckedAdapter],
) -> None:
    path = "model.layers.0.self_attn.v_proj"
    tensors = {name: tensor for name, tensor in lora().items() if "1.self_attn.v_proj" not in name}

    assert take(tensors, target_modules=["q_proj", path, "c_attn"]).spec.target_modules == (path, "q_proj")


def test_a_name_matches_whole_segments_only(refused: Callable[..., InvalidInput]) -> None:
    refused(lora(modules=("xq_proj",)), "module-mismatch", target_modules=["q_proj"])


def test_a_module_that_the_configuration_does_not_name(refused: Callable[..., InvalidInput]) -> None:
    error = refused(lora(), "module-mismatch", target_modules=["q_proj"])

    assert "v_proj" in (error.field or "")


def test_another_rank_than_declared(refused: Callable[..., InvalidInput]) -> None:
    error = refused(lora(), "rank-mismatch", r=8)

    assert "lora_A.weight" in (error.field or "")


@pytest.mark.parametrize(("side", "shape"), [("A", (R + 1, WIDTH)), ("B", (WIDTH, R + 1)), ("B", (R, WIDTH))])
def test_one_matrix_of_another_rank(refused: Callable[..., InvalidInput], side: str, shape: tuple[int, int]) -> None:
    error = refused({**lora(), key(1, "v_proj", side): np.zeros(shape, np.float32)}, "rank-mismatch")

    assert error.field == f"/archive/adapter_model.safetensors/{key(1, 'v_proj', side)}"


@pytest.mark.parametrize("side", ["A", "B"])
def test_half_a_pair(refused: Callable[..., InvalidInput], side: str) -> None:
    tensors = lora()
    del tensors[key(0, "q_proj", side)]

    refused(tensors, "unpaired-tensor")


def test_no_tensors(refused: Callable[..., InvalidInput]) -> None:
    refused({}, "no-tensors")


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("base_model.model.model.layers.0.self_attn.q_proj.lora_magnitude_vector.weight", "dora"),
        ("base_model.model.model.layers.0.self_attn.q_proj.lora_magnitude_vector", "dora"),
        ("base_model.model.model.embed_tokens.lora_embedding_A", "embedding-lora"),
        ("base_model.model.model.layers.0.self_attn.q_proj.lora_B.bias", "bias"),
        ("base_model.model.model.layers.0.self_attn.q_proj.bias", "bias"),
        ("base_model.model.lm_head.weight", "modules-to-save"),
        ("model.layers.0.self_attn.q_proj.lora_A.weight", "unexpected-tensor"),
        ("base_model.model.model.layers.0.self_attn.q_proj.lora_A.default.weight", "unexpected-tensor"),
        ("base_model.model.model.layers.0.self_attn.q_proj.lora_C.weight", "unexpected-tensor"),
        ("base_model.model..lora_A.weight", "unexpected-tensor"),
        ("base_model.model.q\nproj.lora_A.weight", "unexpected-tensor"),
        ("base_model.model." + ".".join("a" * 40) + ".lora_A.weight", "unexpected-tensor"),
        ("prompt_embeddings", "unexpected-tensor"),
        ("", "unexpected-tensor"),
    ],
)
def test_tensors_that_are_no_lora_matrices(refused: Callable[..., InvalidInput], name: str, code: str) -> None:
    error = refused({**lora(), name: np.zeros((R, WIDTH), np.float32)}, code)

    assert not name or name not in f"{error.detail}{error.field}"


def test_lora_on_convolutions(refused: Callable[..., InvalidInput]) -> None:
    refused({**lora(), key(0, "q_proj", "A"): np.zeros((R, 3, 3, 3), np.float32)}, "conv-lora")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_not_finite(refused: Callable[..., InvalidInput], value: float) -> None:
    tensors = lora()
    tensors[key(1, "q_proj", "B")][3, 2] = value

    error = refused(tensors, "nan-weights")

    assert error.field == f"/archive/adapter_model.safetensors/{key(1, 'q_proj', 'B')}"


class TestAgainstTheBaseModel:
    def test_a_base_it_fits(self, take: Callable[..., CheckedAdapter], tmp_path: Path) -> None:
        assert take(lora(), base=base_model(tmp_path / "base")).spec.r == R

    def test_a_base_of_another_width(self, refused: Callable[..., InvalidInput], tmp_path: Path) -> None:
        refused(lora(), "wrong-base", base=base_model(tmp_path / "base", width=WIDTH * 2))

    def test_a_base_with_fewer_layers(self, refused: Callable[..., InvalidInput], tmp_path: Path) -> None:
        refused(lora(layers=3), "wrong-base", base=base_model(tmp_path / "base"))

    def test_a_base_with_more_layers_may_be_right(self, take: Callable[..., CheckedAdapter], tmp_path: Path) -> None:
        assert take(lora(layers=1), base=base_model(tmp_path / "base", layers=4)).spec.r == R

    def test_transposed_weights(self, take: Callable[..., CheckedAdapter], tmp_path: Path) -> None:
        name = "base_model.model.transformer.h.0.attn.c_attn.lora_{}.weight"
        (tmp_path / "base").mkdir()
        save_file(
            {"transformer.h.0.attn.c_attn.weight": np.zeros((WIDTH, 3 * WIDTH), np.float32)},
            tmp_path / "base" / "model.safetensors",
        )
        tensors: Tensors = {
            name.format("A"): np.ones((R, WIDTH), np.float32),
            name.format("B"): np.ones((3 * WIDTH, R), np.float32),
        }
        assert take(tensors, base=tmp_path / "base", target_modules=["c_attn"]).modules

    def test_a_checkpoint_with_other_names_or_packed_weights_proves_nothing(
        self, take: Callable[..., CheckedAdapter], tmp_path: Path
    ) -> None:
        base = base_model(tmp_path / "base", width=WIDTH * 2, name="decoder.blocks")
        packed = {"model.layers.0.self_attn.q_proj.weight": np.zeros((WIDTH * WIDTH // 2, 1), np.uint8)}
        save_file(packed, base / "packed.safetensors")

        assert take(lora(), base=base).spec.r == R

    def test_a_base_without_safetensors_proves_nothing(
        self, take: Callable[..., CheckedAdapter], tmp_path: Path
    ) -> None:
        (tmp_path / "base").mkdir()
        assert take(lora(), base=tmp_path / "base").spec.r == R
