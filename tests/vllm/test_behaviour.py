"""How vLLM's run-time LoRA behaves, its traps included: what the double must model, and the real server must show."""

from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest

from tests.support.lora_files import random_tensors, write_adapter
from tests.support.waiting import wait_until
from tests.vllm.bed import Bed

Write = Callable[..., Path]


@pytest.fixture(autouse=True)
def _clean(request: pytest.FixtureRequest) -> Iterator[None]:
    """Names that a test registered are gone afterwards."""
    yield
    if "bed" in request.fixturenames:
        bed: Bed = request.getfixturevalue("bed")
        for name in bed.roots().keys() - {"base"}:
            bed.unload(name)


def is_error(response: httpx.Response, status: int, kind: str | None = None) -> bool:
    error = response.json()["error"]
    return response.status_code == status == error["code"] and kind in (None, error["type"])


class TestLoading:
    def test_answers_in_plain_text_without_a_content_type(self, bed: Bed, adapter: Write) -> None:
        response = bed.load("bot@v1", adapter(bed, 1))
        assert response.status_code == 200
        assert response.text.startswith("Success")
        assert "content-type" not in response.headers

    def test_versions_answer_side_by_side_and_the_base_model_as_ever(self, bed: Bed, adapter: Write) -> None:
        first, second = adapter(bed, 1), adapter(bed, 2)
        bed.load("bot@v1", first)
        bed.load("bot@v2", second)
        assert bed.answers_as("bot@v1", first)
        assert bed.answers_as("bot@v2", second)
        assert bed.answers_as("base", None)
        assert not bed.answers_as("bot@v1", None)
        assert bed.roots() == {"base": str(bed.base), "bot@v1": str(first), "bot@v2": str(second)}

    def test_refuses_a_name_that_is_taken(self, bed: Bed, adapter: Write) -> None:
        bed.load("bot@v1", adapter(bed, 1))
        assert is_error(bed.load("bot@v1", adapter(bed, 2)), 400)
        assert is_error(bed.load("base", adapter(bed, 2)), 400)

    @pytest.mark.parametrize("body", [{}, {"lora_name": "", "lora_path": "/x"}, {"lora_name": "x"}])
    def test_refuses_a_body_without_a_name_or_path(self, bed: Bed, body: dict[str, str]) -> None:
        assert is_error(bed.client.post("/v1/load_lora_adapter", json=body), 400)

    def test_a_missing_directory_is_not_found(self, bed: Bed, tmp_path: Path) -> None:
        assert is_error(bed.load("bot@v1", tmp_path / "nowhere"), 404, "NotFoundError")

    def test_any_other_fault_of_the_adapter_looks_like_a_fault_of_the_server(self, bed: Bed, tmp_path: Path) -> None:
        tensors = random_tensors(bed.base, 1)
        high = write_adapter(tmp_path / "high", random_tensors(bed.base, 1, r=32), r=32)
        dora = write_adapter(tmp_path / "dora", tensors, use_dora=True)
        broken = write_adapter(tmp_path / "broken", tensors)
        (broken / "adapter_config.json").write_text("{")
        empty = write_adapter(tmp_path / "empty", tensors)
        (empty / "adapter_model.safetensors").unlink()
        for directory in (high, dora, broken, empty):
            assert is_error(bed.load("bot@v1", directory), 500, "InternalServerError"), directory.name
        assert "bot@v1" not in bed.roots()

    def test_a_matrix_too_narrow_is_filled_up_without_a_word(self, bed: Bed, tmp_path: Path) -> None:
        tensors = random_tensors(bed.base, 1)
        narrow = {name: t[:, : t.shape[1] // 2] if "lora_A" in name else t for name, t in tensors.items()}
        filled = {name: np.pad(t, ((0, 0), (0, tensors[name].shape[1] - t.shape[1]))) for name, t in narrow.items()}
        assert bed.load("bot@v1", write_adapter(tmp_path / "narrow", narrow)).status_code == 200
        assert bed.answers_as("bot@v1", write_adapter(tmp_path / "filled", filled))

    def test_an_adapter_that_does_nothing_answers_like_the_base_model(self, bed: Bed, tmp_path: Path) -> None:
        zero = random_tensors(bed.base, 1, deviation=0)
        assert bed.load("bot@v1", write_adapter(tmp_path / "zero", zero)).status_code == 200
        assert bed.answers_as("bot@v1", None)

    def test_weights_that_are_no_numbers_show_only_when_log_probabilities_are_asked_for(
        self, bed: Bed, tmp_path: Path
    ) -> None:
        tensors = {name: np.full_like(tensor, np.nan) for name, tensor in random_tensors(bed.base, 1).items()}
        assert bed.load("bot@v1", write_adapter(tmp_path / "nan", tensors)).status_code == 200
        assert is_error(bed.ask("bot@v1"), 400)

    def test_the_other_way_in_asks_for_no_key(self, bed: Bed, adapter: Write) -> None:
        body = {"name": "bot@v1", "src": str(adapter(bed, 1))}
        with httpx.Client(base_url=bed.client.base_url) as stranger:
            assert stranger.post("/v1/load_lora_adapter", json={}).status_code == 401
            assert stranger.post("/adapters", json=body).status_code == 200
            assert stranger.delete("/adapters/bot@v1").status_code == 200
        assert is_error(bed.ask("bot@v1"), 404, "NotFoundError")


class TestLoadingInPlace:
    def test_the_name_answers_like_the_new_adapter(self, bed: Bed, adapter: Write) -> None:
        first, second = adapter(bed, 1), adapter(bed, 2)
        bed.load("bot@v1", first)
        assert bed.load("bot@v1", second, load_inplace=True).status_code == 200
        assert bed.answers_as("bot@v1", second)
        assert bed.roots()["bot@v1"] == str(second)

    def test_a_fault_found_in_time_changes_nothing(self, bed: Bed, adapter: Write, tmp_path: Path) -> None:
        first = adapter(bed, 1)
        bed.load("bot@v1", first)
        bad = write_adapter(tmp_path / "high", random_tensors(bed.base, 1, r=32), r=32)
        assert is_error(bed.load("bot@v1", bad, load_inplace=True), 500)
        assert bed.answers_as("bot@v1", first)

    def test_a_shape_that_does_not_fit_leaves_a_mixture_that_is_served(
        self, bed: Bed, adapter: Write, tmp_path: Path
    ) -> None:
        first, tensors = adapter(bed, 1), random_tensors(bed.base, 2)
        last = max(name for name in tensors if "lora_A" in name)
        tensors[last] = np.pad(tensors[last], ((0, 0), (0, 8)))
        misfit = write_adapter(tmp_path / "misfit", tensors)
        bed.load("bot@v1", first)
        assert is_error(bed.load("bot@v1", misfit, load_inplace=True), 500)
        assert bed.roots()["bot@v1"] == str(first)
        assert not bed.answers_as("bot@v1", first)
        assert not bed.answers_as("bot@v1", None)
        assert bed.load("bot@v1", first, load_inplace=True).status_code == 200
        assert bed.answers_as("bot@v1", first)


class TestUnloading:
    def test_the_name_is_unknown_at_once(self, bed: Bed, adapter: Write) -> None:
        bed.load("bot@v1", adapter(bed, 1))
        response = bed.unload("bot@v1")
        assert response.status_code == 200
        assert "content-type" not in response.headers
        assert is_error(bed.ask("bot@v1"), 404, "NotFoundError")
        assert is_error(bed.unload("bot@v1"), 404)

    def test_the_weights_stay(self, bed: Bed, adapter: Write) -> None:
        first = adapter(bed, 11)
        bed.load("bot@v1", first)
        bed.unload("bot@v1")
        assert bed.holds(first)

    def test_loading_in_place_first_and_unloading_then_removes_them(self, bed: Bed, adapter: Write) -> None:
        first, second = adapter(bed, 12), adapter(bed, 13)
        bed.load("bot@v1", first)
        bed.load("bot@v2", second)
        bed.load("bot@v1", second, load_inplace=True)
        bed.unload("bot@v1")
        assert not bed.holds(first)
        assert bed.answers_as("bot@v2", second)

    def test_in_place_after_unloading_removes_nothing(self, bed: Bed, adapter: Write) -> None:
        first, second = adapter(bed, 14), adapter(bed, 15)
        bed.load("bot@v1", first)
        bed.unload("bot@v1")
        bed.load("bot@v1", second, load_inplace=True)
        assert bed.holds(first)

    def test_others_that_need_the_room_remove_them(self, bed: Bed, adapter: Write) -> None:
        first = adapter(bed, 16)
        bed.load("bot@v1", first)
        bed.unload("bot@v1")
        bed.load("bot@v2", adapter(bed, 17))
        bed.load("bot@v3", adapter(bed, 18))
        assert not bed.holds(first)


def test_the_newest_series_of_the_metric_tells_what_runs(bed: Bed, adapter: Write) -> None:
    bed.load("bot@v1", adapter(bed, 1))
    bed.ask("bot@v1", max_tokens=3)
    lines = [
        line for line in bed.client.get("/metrics").text.splitlines() if line.startswith("vllm:lora_requests_info")
    ]
    newest = max(lines, key=lambda line: float(line.rpartition(" ")[2]))
    assert any('"bot@v1"' in line for line in lines)
    assert 'running_lora_adapters=""' in newest


def test_an_evicted_adapter_is_read_again_from_its_path(bed: Bed, adapter: Write) -> None:
    directories = [adapter(bed, seed) for seed in (1, 2, 3)]
    for number, directory in enumerate(directories, 1):
        bed.load(f"bot@v{number}", directory)
    assert bed.answers_as("bot@v1", directories[0])


def test_deleting_the_files_of_an_evicted_adapter_ends_the_server(own_bed: Bed, adapter: Write) -> None:
    first = adapter(own_bed, 1)
    own_bed.load("bot@v1", first)
    own_bed.load("bot@v2", adapter(own_bed, 2))
    own_bed.load("bot@v3", adapter(own_bed, 3))
    for file in first.iterdir():
        file.unlink()
    assert is_error(own_bed.ask("bot@v1"), 500)
    wait_until(own_bed.ended, seconds=30)
