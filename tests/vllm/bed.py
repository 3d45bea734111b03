"""What the tests know of a server that is asked over HTTP, whether it is the double or the real one."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.support.vllm_double import Resolve, vllm_double

PROMPT = (11, 42, 7, 30, 5)
API_KEY = "key-of-the-server"
TOLERANCE = 2e-4
# How far apart the answers of different adapters are at least (nats, largest difference).
DISTINCT = 0.05

Answer = Mapping[int, float]
"""Log-probabilities (nats) by token id."""


@dataclass(frozen=True)
class Bed:
    """A running server that asks for API_KEY.

    `client` sends the key.
    `reference`: the answer to PROMPT by the adapter in a directory, or by the base model, computed elsewhere.
    `holds`: whether the worker's memory holds the weights of a directory.
    """

    client: httpx.Client
    base: Path
    reference: Callable[[Path | None], Sequence[float]]
    holds: Callable[[Path], bool]
    ended: Callable[[], bool]

    def load(self, name: str, directory: Path, **options: Any) -> httpx.Response:
        body = {"lora_name": name, "lora_path": str(directory), **options}
        return self.client.post("/v1/load_lora_adapter", json=body)

    def unload(self, name: str) -> httpx.Response:
        return self.client.post("/v1/unload_lora_adapter", json={"lora_name": name})

    def ask(self, name: str, **options: Any) -> httpx.Response:
        """One token after PROMPT, with its likeliest alternatives by token id."""
        body = {
            "model": name,
            "prompt": list(PROMPT),
            "max_tokens": 1,
            "temperature": 0,
            "logprobs": 5,
            "return_tokens_as_token_ids": True,
            **options,
        }
        return self.client.post("/v1/completions", json=body)

    def answer(self, name: str) -> Answer:
        response = self.ask(name)
        assert response.status_code == 200, response.text
        top = response.json()["choices"][0]["logprobs"]["top_logprobs"][0]
        return {int(token.removeprefix("token_id:")): value for token, value in top.items()}

    def answers_as(self, name: str, directory: Path | None) -> bool:
        """Whether a name's answer is that of the adapter in a directory; None: of the base model."""
        expected = self.reference(directory)
        return max(abs(expected[token] - value) for token, value in self.answer(name).items()) < TOLERANCE

    def roots(self) -> dict[str, str]:
        """The paths of what `/v1/models` lists, by name."""
        return {card["id"]: card["root"] for card in self.client.get("/v1/models").json()["data"]}


@contextmanager
def client_of(url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {API_KEY}"}, timeout=60) as client:
        yield client


@contextmanager
def double_bed(base: Path, resolve: Resolve | None = None) -> Iterator[Bed]:
    with vllm_double(base, api_key=API_KEY, resolve=resolve) as double, client_of(double.url) as client:
        yield Bed(
            client=client,
            base=base,
            reference=lambda directory: [float(value) for value in double.log_probs(PROMPT, directory)],
            holds=lambda directory: double.engine.copies_of(directory) > 0,
            ended=lambda: double.ended,
        )
