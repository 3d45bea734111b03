"""SGLang with run-time LoRA (`--enable-lora --max-lora-rank … --lora-target-modules …`), by contract of 0.5.

Nothing is loaded in place. Unloading waits for running generations and then frees the memory, so it needs no other
purge; but a request for an unloaded name loads it again from its path, as long as the files are there.

https://docs.sglang.ai/advanced_features/lora.html
"""

from collections.abc import Mapping, Sequence
from typing import NoReturn

from pydantic import BaseModel, Field

from service.domain.probes import Measured, ProbePrompt
from service.hotswap.servers.contract import AdapterRefused, ServerAway
from service.hotswap.servers.http import Cards, Http, read, told


class _MetaInfo(BaseModel):
    """Log-probability, token id and text of the likeliest tokens, one list a generated token."""

    output_top_logprobs: list[list[tuple[float, int, str | None]]] = Field(min_length=1)


class _Generated(BaseModel):
    meta_info: _MetaInfo


class Sglang:
    """One SGLang server."""

    in_place = False

    def __init__(self, http: Http) -> None:
        self._http = http

    def close(self) -> None:
        self._http.close()

    def adapters(self) -> Mapping[str, str]:
        return read(Cards, self._http.get("/v1/models")).adapters()

    def load(self, name: str, path: str) -> None:
        response = self._http.post("/load_lora_adapter", {"lora_name": name, "lora_path": path}, expected=(400,))
        if response.status_code == 400:
            raise AdapterRefused(told(response))

    def replace(self, name: str, path: str) -> NoReturn:
        raise NotImplementedError("SGLang loads nothing in place")

    def unload(self, name: str) -> None:
        response = self._http.post("/unload_lora_adapter", {"lora_name": name}, expected=(400,))
        if response.status_code == 400 and name in self.adapters():
            raise ServerAway(f"/unload_lora_adapter: {told(response)}")

    def is_idle(self, name: str) -> bool:
        """Unloading itself waits."""
        return True

    def answers(self, name: str, prompts: Sequence[ProbePrompt]) -> Measured:
        return [self._answer(name, prompt) for prompt in prompts]

    def _answer(self, name: str, prompt: ProbePrompt) -> Mapping[int, float]:
        body = {
            "input_ids": list(prompt.token_ids),
            "lora_path": name,
            "sampling_params": {"max_new_tokens": 1, "temperature": 0},
            "return_logprob": True,
            "top_logprobs_num": len(prompt.expected),
        }
        response = self._http.post("/generate", body, expected=(400,))
        if response.status_code == 400:
            raise AdapterRefused(told(response))
        top = read(_Generated, response).meta_info.output_top_logprobs[0]
        return {token: value for value, token, _ in top}
