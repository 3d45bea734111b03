"""What stays in memory between jobs."""

import shutil
from pathlib import Path

import pytest
import torch

from service.domain.adapters import LoraSpec
from service.domain.engine import Base
from tests.workers.engine.small_data import CPU
from workers.engine.errors import EngineRefusal
from workers.engine.residents import Residents

IDS = torch.tensor([[5, 9, 40]])


@pytest.fixture
def residents() -> Residents:
    return Residents(CPU, allow_hub=False, capacity=1)


def named(path: Path) -> Base:
    return Base(str(path), None, None)


def test_a_base_is_loaded_once(residents: Residents, llama_path: Path) -> None:
    assert residents.base(named(llama_path)) is residents.base(named(llama_path))


def test_the_base_not_used_for_longest_makes_room(residents: Residents, llama_path: Path, gpt2_path: Path) -> None:
    first = residents.base(named(llama_path))
    residents.base(named(gpt2_path))
    assert residents.base(named(llama_path)) is not first


def test_changed_files_are_loaded_anew(residents: Residents, llama_path: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(llama_path, tmp_path / "copy"))
    first = residents.base(named(copy))
    (copy / "config.json").write_text((copy / "config.json").read_text() + " ")
    assert residents.base(named(copy)).digest != first.digest


def test_a_pinned_base_that_changed_is_refused_even_when_it_is_resident(
    residents: Residents, llama_path: Path
) -> None:
    residents.base(named(llama_path))
    with pytest.raises(EngineRefusal, match="base-digest"):
        residents.base(Base(str(llama_path), None, "0" * 64))


def test_the_same_shape_keeps_its_resident_however_it_is_written(residents: Residents, llama_path: Path) -> None:
    base = residents.base(named(llama_path))
    one = residents.adapter(base, LoraSpec(r=4, target_modules=("v_proj", "q_proj")))
    assert residents.adapter(base, LoraSpec(r=4, target_modules=("q_proj", "self_attn.v_proj"))) is one


def test_another_shape_takes_its_place_on_the_same_base(residents: Residents, llama_path: Path) -> None:
    base = residents.base(named(llama_path))
    bare = base.model(input_ids=IDS).logits
    small = residents.adapter(base, LoraSpec(r=2, target_modules=("q_proj",)))
    small.parameters.set(torch.ones(small.parameters.size))
    large = residents.adapter(base, LoraSpec(r=8, target_modules=("q_proj", "up_proj")))
    large.initialise(0)
    assert large.parameters.size > small.parameters.size
    # B = 0: nothing of either adapter may show.
    torch.testing.assert_close(large.model(input_ids=IDS).logits, bare)


def test_a_target_that_the_base_lacks_is_refused_by_name(residents: Residents, llama_path: Path) -> None:
    with pytest.raises(EngineRefusal, match="no linear module named c_attn"):
        residents.adapter(residents.base(named(llama_path)), LoraSpec(target_modules=("q_proj", "c_attn")))


def test_an_embedding_is_no_target(residents: Residents, llama_path: Path) -> None:
    with pytest.raises(EngineRefusal, match="no linear module named embed_tokens"):
        residents.adapter(residents.base(named(llama_path)), LoraSpec(target_modules=("embed_tokens",)))


def test_wiping_leaves_no_weight_behind(residents: Residents, llama_path: Path) -> None:
    resident = residents.adapter(residents.base(named(llama_path)), LoraSpec(r=2, target_modules=("q_proj",)))
    resident.initialise(0)
    residents.wipe()
    assert not resident.parameters.get().any()
