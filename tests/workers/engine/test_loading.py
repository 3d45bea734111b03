"""Which bases are opened, and what pins them."""

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from service.domain.engine import Base
from tests.workers.engine.small_data import CPU
from workers.engine.errors import EngineRefusal
from workers.engine.loading import base_digest, locate, open_base


@pytest.fixture
def copy(llama_path: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(llama_path, tmp_path / "copy"))


def edit(file: Path, text: str) -> None:
    """Changes a file as an editor would: a new modification time, even within one clock tick."""
    file.write_text(text)
    os.utime(file, ns=(file.stat().st_atime_ns, file.stat().st_mtime_ns + 1_000_000))


class TestDigest:
    def test_it_is_the_same_wherever_the_files_lie(self, llama_path: Path, copy: Path) -> None:
        assert base_digest(copy) == base_digest(llama_path)

    @pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "chat_template.jinja"])
    def test_whatever_changes_the_function_changes_it(self, copy: Path, name: str) -> None:
        before = base_digest(copy)
        edit(copy / name, (copy / name).read_text() + " ")
        assert base_digest(copy) != before

    def test_a_changed_weight_changes_it(self, copy: Path) -> None:
        before = base_digest(copy)
        weights = bytearray((copy / "model.safetensors").read_bytes())
        weights[-1] ^= 1
        (copy / "model.safetensors").write_bytes(weights)
        os.utime(copy / "model.safetensors", ns=(1, 1))
        assert base_digest(copy) != before

    def test_a_readme_does_not(self, copy: Path) -> None:
        before = base_digest(copy)
        (copy / "README.md").write_text("about")
        assert base_digest(copy) == before


class TestOpening:
    def test_it_is_the_model_in_eval_mode_frozen_and_fp32_on_a_cpu(self, llama_path: Path) -> None:
        base = open_base(Base(str(llama_path), None, None), CPU)
        assert not base.model.training
        assert not any(weight.requires_grad for weight in base.model.parameters())
        assert {weight.dtype for weight in base.model.parameters()} == {torch.float32}
        assert base.pad_id == base.tokenizer.pad_token_id

    def test_the_pinned_digest_must_match(self, llama_path: Path) -> None:
        pinned = Base(str(llama_path), None, base_digest(llama_path))
        assert open_base(pinned, CPU).digest == pinned.digest
        with pytest.raises(EngineRefusal, match="base-digest"):
            open_base(replace(pinned, digest="0" * 64), CPU)

    def test_a_base_has_no_dropout_of_its_own(self, gpt2_path: Path) -> None:
        """GPT-2 drops a tenth by default; a frozen base must be one fixed function, in training too."""
        assert AutoModelForCausalLM.from_pretrained(gpt2_path).config.resid_pdrop == 0.1
        model = open_base(Base(str(gpt2_path), None, None), CPU).model
        model.train()
        ids = torch.tensor([[5, 6, 7]])
        assert torch.equal(model(input_ids=ids).logits, model(input_ids=ids).logits)

    def test_a_missing_directory_is_refused_without_asking_a_hub(self) -> None:
        with pytest.raises(EngineRefusal, match="base-model"):
            locate(Base("someone/some-model", None, None))

    def test_weights_that_are_not_safetensors_are_refused(self, copy: Path) -> None:
        (copy / "model.safetensors").rename(copy / "pytorch_model.bin")
        with pytest.raises(EngineRefusal, match="no safetensors"):
            open_base(Base(str(copy), None, None), CPU)

    def test_a_model_that_needs_its_own_code_is_refused(self, copy: Path) -> None:
        (copy / "evil.py").write_text("raise SystemExit('ran')")
        edit(copy / "config.json", '{"model_type": "odd", "auto_map": {"AutoConfig": "evil.Config"}}')
        with pytest.raises(EngineRefusal, match="base-model"):
            open_base(Base(str(copy), None, None), CPU)
