"""An inference process: it keeps a base model and one PEFT adapter, and swaps the adapter in place.

It gets adapters from the service's downloads and from nowhere else, and the base model is loaded
once. Between two versions the old weights are overwritten where they lie. A swap counts as
proven if the live tensors are the file's bit for bit, and the answers to the version's probe are its own: neither the
bare base model's nor those of the version before.

    python -m workers.demo.inference BASE_DIRECTORY DOWNLOADS_DIRECTORY < questions > answers

Questions: {"serve": "support-bot@v2"} and {"exam": [question, …]}.
"""

import shutil
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel, get_peft_model_state_dict
from peft.utils.hotswap import hotswap_adapter
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel

from service.client import Lethe
from service.domain.probes import TOLERANCE, Probe, ProbeOutcome, distances_from, judge
from workers.demo.exam import Question, take
from workers.demo.peer import Say, answer_questions
from workers.engine.probing import measure

ADAPTER = "default"


class Inference:
    """One resident base and at most one adapter on it. One question at a time, so no forward pass sees half a swap."""

    def __init__(self, base: Path, downloads: Path, client: Lethe) -> None:
        self._downloads = downloads
        self._client = client
        self._tokenizer = AutoTokenizer.from_pretrained(base)
        self._model: PreTrainedModel | PeftModel = _open_base(base)

    def serve(self, adapter: str, version: str) -> dict[str, object]:
        """Download a version and put it in place of the present one."""
        started = time.perf_counter()
        directory = self._downloads / f"{adapter}-{version}"
        fetched = self._client.fetch(adapter, version, directory)
        downloaded = time.perf_counter()
        self._put_in_place(directory)
        swapped = time.perf_counter()
        proof = self._proof(directory, self._client.get_probe(adapter, fetched.version))
        return {
            "version": f"{adapter}@{fetched.version}",
            "digest": fetched.digest,
            "download_s": downloaded - started,
            "swap_s": swapped - downloaded,
            **proof,
        }

    def exam(self, questions: list[Question]) -> dict[str, object]:
        return take(self._model, self._tokenizer, questions).model_dump()

    def _put_in_place(self, directory: Path) -> None:
        if isinstance(self._model, PeftModel):
            hotswap_adapter(self._model, str(directory), adapter_name=ADAPTER, torch_device="cpu")
        else:
            self._model = PeftModel.from_pretrained(self._model, directory, adapter_name=ADAPTER)
        self._model.eval()

    def _proof(self, directory: Path, probe: Probe) -> dict[str, object]:
        assert isinstance(self._model, PeftModel)
        written = load_file(directory / "adapter_model.safetensors")
        live = get_peft_model_state_dict(self._model, adapter_name=ADAPTER)
        is_bit_equal = live.keys() == written.keys() and all(torch.equal(live[name], written[name]) for name in live)
        answers = measure(self._model, probe)
        outcome = judge(probe, answers, TOLERANCE["float32"])
        return {
            "weights_are_the_files": is_bit_equal,
            "probe": outcome,
            "probe_distances": distances_from(probe, answers),
            "proven": is_bit_equal and outcome is ProbeOutcome.proven,
        }


def _open_base(base: Path) -> PreTrainedModel:
    model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    model.requires_grad_(False)
    return model


def main(base: Path, downloads: Path) -> None:
    shutil.rmtree(downloads, ignore_errors=True)
    downloads.mkdir(parents=True)
    with Lethe() as client:
        inference = Inference(base, downloads, client)

        def answer(question: Mapping[str, Any], say: Say) -> Mapping[str, object]:
            if "serve" in question:
                adapter, _, version = str(question["serve"]).partition("@")
                return inference.serve(adapter, version)
            return inference.exam([Question.model_validate(one) for one in question["exam"]])

        answer_questions(answer)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
