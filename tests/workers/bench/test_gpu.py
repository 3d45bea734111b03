"""The measurement on a large base, tried out on a tiny one: what it counts, and what it writes."""

import json
from pathlib import Path

import pytest
import torch

from service.domain.adapters import LoraSpec
from workers.bench.gpu import counted, known_peak, main, matrix_parameters
from workers.bench.shapes import SHAPES, random_base, random_data
from workers.engine.evaluation import encode_data
from workers.engine.losses import mean_losses
from workers.engine.resident import Resident

CPU = torch.device("cpu")
TINY = SHAPES["tiny"]


@pytest.fixture
def resident() -> Resident:
    return Resident(random_base(TINY, 12, CPU), LoraSpec(r=2, alpha=4))


def test_a_pass_counts_two_operations_a_parameter_and_token_and_a_backward_pass_as_much(resident: Resident) -> None:
    ids = torch.ones(3, 7, dtype=torch.long)
    once = 2.0 * matrix_parameters(resident.model) * ids.numel()
    with counted(resident.model) as flops:
        resident.model(input_ids=ids)
        assert flops.total == 2 * once
        with torch.no_grad():
            resident.model(input_ids=ids)
    assert flops.total == 3 * once
    resident.model(input_ids=ids)
    assert flops.total == 3 * once


def test_matrices_are_all_that_is_counted(resident: Resident) -> None:
    hidden, wide = TINY.hidden, TINY.intermediate
    keys = hidden * TINY.key_value_heads // TINY.heads
    layer = 2 * hidden * hidden + 2 * hidden * keys + 3 * hidden * wide
    base = TINY.layers * layer + TINY.vocabulary * hidden
    assert matrix_parameters(resident.model) == base + resident.parameters.size


def test_the_engine_passes_where_it_is_counted(resident: Resident) -> None:
    data = random_data(TINY.vocabulary, instances=4, holdout=0, prompt=5, completion=7)
    tokens = list(encode_data(resident, data).values())
    with counted(resident.model) as flops:
        mean_losses(resident.model, tokens, resident.pad_id, CPU, 2)
    assert flops.total == 2.0 * matrix_parameters(resident.model) * 4 * 12


def test_every_instance_has_the_tokens_asked_for(resident: Resident) -> None:
    data = random_data(TINY.vocabulary, instances=3, holdout=2, prompt=5, completion=7)
    for tokens in encode_data(resident, data).values():
        assert len(tokens.ids) == 12
        assert tokens.label_count == 7


@pytest.mark.parametrize(
    ("name", "peak"),
    [
        ("NVIDIA H200", 989.0),
        ("NVIDIA H100 80GB HBM3", 989.0),
        ("NVIDIA H100 PCIe", 756.0),
        ("NVIDIA A100-SXM4-80GB", 312.0),
        ("NVIDIA GeForce RTX 4090", None),
        ("cpu", None),
    ],
)
def test_the_peak_of_a_known_device_need_not_be_given(name: str, peak: float | None) -> None:
    assert known_peak(name) == peak


@pytest.mark.slow
def test_it_measures_preparing_and_every_removal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "results" / "gpu.json"
    small = "--device cpu --shape tiny --rank 2 --instances 40 --holdout 8 --prompt 5 --completion 7 --removals 1 3"
    main([*small.split(), "--peak-tflops", "0.05", "--out", str(out)])

    report = json.loads(out.read_text())
    assert report["calibrated"]
    assert report["setting"]["removals"] == [1, 3]
    assert [each["work"] for each in report["measurements"]] == ["prepare", "remove 1", "remove 3"]
    for each in report["measurements"]:
        assert each["peak_bytes"] > 0
        assert each["peak_share"] == pytest.approx(each["flops"] / each["seconds"] / 0.05e12)
    assert "remove 3" in capsys.readouterr().out


def test_a_request_for_everything_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--device", "cpu", "--shape", "tiny", "--instances", "10", "--removals", "10"])
    assert "must leave some" in capsys.readouterr().err
