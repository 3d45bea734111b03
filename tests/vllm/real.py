"""A real vLLM server on the CPU: started from its own environment, asked over HTTP, compared with PEFT."""

import os
import socket
import subprocess
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import httpx
import torch
from peft import PeftModel
from safetensors.numpy import load_file
from transformers import AutoModelForCausalLM

from tests.support.waiting import wait_until
from tests.vllm.bed import API_KEY, PROMPT, Bed, client_of

# The Python of an environment with vLLM; `make test-vllm` names it.
VLLM_PYTHON = os.environ.get("VLLM_PYTHON")
START_S = 400
NOTHING: Mapping[str, str] = MappingProxyType({})
OFFLINE = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
    # Without it the first completion compiles for a quarter of a minute.
    "TORCH_COMPILE_DISABLE": "1",
    "VLLM_ALLOW_RUNTIME_LORA_UPDATING": "1",
    # For /collective_rpc.
    "VLLM_SERVER_DEV_MODE": "1",
}
ARGUMENTS = (
    *("--served-model-name", "base", "--host", "127.0.0.1", "--api-key", API_KEY),
    *("--enable-lora", "--max-loras", "2", "--max-cpu-loras", "2", "--max-lora-rank", "16"),
    # In mixed batches the CPU kernels answer requests for the base model with an adapter's weights.
    *("--max-num-seqs", "1"),
    # A float32 checkpoint is silently rounded to bfloat16 otherwise.
    *("--dtype", "float32", "--enforce-eager", "--max-model-len", "128"),
    # The default asks for nearly all memory.
    *("--kv-cache-memory-bytes", "67108864"),
    *("--worker-extension-cls", "residency.Residency"),
)


@dataclass(frozen=True)
class _Server:
    url: str
    process: "subprocess.Popen[bytes]"


@contextmanager
def _vllm_server(base: Path, log: Path, environment: Mapping[str, str]) -> Iterator[_Server]:
    """Start a server and wait until it is healthy; end it and its processes afterwards."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    command = [str(VLLM_PYTHON), "-m", "vllm.entrypoints.openai.api_server", "--model", str(base), *ARGUMENTS]
    settings = {**os.environ, **OFFLINE, "PYTHONPATH": str(Path(__file__).parent), **environment}
    with log.open("ab") as output:
        process = subprocess.Popen(
            [*command, "--port", str(port)], env=settings, stdout=output, stderr=output, cwd=log.parent
        )
    server = _Server(f"http://127.0.0.1:{port}", process)
    try:
        wait_until(lambda: process.poll() is not None or _healthy(server.url), seconds=START_S)
        assert process.poll() is None, f"vLLM did not start; see {log}"
        yield server
    finally:
        process.terminate()
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def real_bed(base: Path, directory: Path, environment: Mapping[str, str] = NOTHING) -> Iterator[Bed]:
    """A server with its log in a directory and variables of its own."""
    with _vllm_server(base, directory / "log", environment) as server, client_of(server.url) as client:

        def holds(directory: Path) -> bool:
            tensors = load_file(directory / "adapter_model.safetensors")
            row = min(name for name in tensors if "lora_A" in name)
            body = {"method": "holding", "args": [tensors[row][0].tobytes().hex()]}
            response = client.post("/collective_rpc", json=body)
            assert response.status_code == 200, response.text
            (places,) = response.json()["results"]
            return places != []

        yield Bed(
            client=client,
            base=base,
            reference=_peft_reference(base),
            holds=holds,
            ended=lambda: server.process.poll() is not None,
        )


def _peft_reference(base: Path) -> Callable[[Path | None], Sequence[float]]:
    """The log-probabilities after PROMPT by PEFT."""

    def answer(directory: Path | None) -> Sequence[float]:
        model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
        if directory is not None:
            with warnings.catch_warnings(action="ignore", category=FutureWarning):
                model = PeftModel.from_pretrained(model, directory)
        with torch.inference_mode():
            logits = model(torch.tensor([PROMPT])).logits[0, -1]
        return [float(value) for value in torch.log_softmax(logits, -1)]

    return answer


def _healthy(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health", timeout=5).status_code == 200
    except httpx.TransportError:
        return False
