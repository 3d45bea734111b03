"""vLLM with run-time LoRA (`--enable-lora`, VLLM_ALLOW_RUNTIME_LORA_UPDATING), as 0.32 and 0.33 behave.

Any 5xx but a proxy's means that the adapter is bad, not "try again". Success is plain text without a content type.
Unloading forgets a name and leaves the weights where they are; loading in place overwrites them.

https://docs.vllm.ai/en/latest/features/lora.html
"""

import re
from collections.abc import Mapping, Sequence

from pydantic import BaseModel, Field

from service.domain.probes import Measured, ProbePrompt
from service.hotswap.servers.contract import AdapterRefused, NotVisible, ServerAway
from service.hotswap.servers.http import Cards, Http, read, told

_REQUESTS = re.compile(
    r'^vllm:lora_requests_info\{(?=.*running_lora_adapters="(?P<running>[^"]*)")'
    r'(?=.*waiting_lora_adapters="(?P<waiting>[^"]*)").*\} (?P<at>\S+)$',
    re.MULTILINE,
)
_TOKEN = "token_id:"


class _LogProbs(BaseModel):
    top_logprobs: list[dict[str, float]] = Field(min_length=1)


class _Choice(BaseModel):
    logprobs: _LogProbs


class _Completion(BaseModel):
    choices: list[_Choice] = Field(min_length=1)


class Vllm:
    """One vLLM server."""

    in_place = True

    def __init__(self, http: Http) -> None:
        self._http = http

    def close(self) -> None:
        self._http.close()

    def adapters(self) -> Mapping[str, str]:
        return read(Cards, self._http.get("/v1/models")).adapters()

    def load(self, name: str, path: str) -> None:
        self._load(name, path, in_place=False)

    def replace(self, name: str, path: str) -> None:
        self._load(name, path, in_place=True)

    def unload(self, name: str) -> None:
        self._http.post("/v1/unload_lora_adapter", {"lora_name": name}, expected=(404,))

    def is_idle(self, name: str) -> bool:
        """By the newest series: every past set of labels stays one of its own, with its time as value."""
        series = [match.groupdict() for match in _REQUESTS.finditer(self._http.get("/metrics").text)]
        if not series:
            return True
        newest = max(series, key=lambda one: float(one["at"]))
        return name not in [*newest["running"].split(","), *newest["waiting"].split(",")]

    def answers(self, name: str, prompts: Sequence[ProbePrompt]) -> Measured:
        return [self._answer(name, prompt) for prompt in prompts]

    def _answer(self, name: str, prompt: ProbePrompt) -> Mapping[int, float]:
        body = {
            "model": name,
            "prompt": list(prompt.token_ids),
            "max_tokens": 1,
            "temperature": 0,
            "logprobs": len(prompt.expected),
            "return_tokens_as_token_ids": True,
        }
        response = self._http.post("/v1/completions", body, expected=(400, 404))
        if response.status_code == 404:
            raise ServerAway("the adapter was unloaded by somebody else")
        if response.status_code == 400:
            # So it answers where log-probabilities are no numbers.
            raise AdapterRefused(told(response))
        top = read(_Completion, response).choices[0].logprobs.top_logprobs[0]
        return {int(token.removeprefix(_TOKEN)): value for token, value in top.items()}

    def _load(self, name: str, path: str, *, in_place: bool) -> None:
        body = {"lora_name": name, "lora_path": path, "load_inplace": in_place}
        response = self._http.post("/v1/load_lora_adapter", body, expected=(404, 500))
        if response.status_code == 404:
            raise NotVisible(told(response))
        if response.status_code == 500:
            raise AdapterRefused(told(response))
