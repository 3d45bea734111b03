"""A double of an SGLang server with run-time LoRA, by the contract of 0.5.23; no real one was asked.

- errors of loading and unloading are 400 with JSON;
- unloading forgets the name, waits for its running generations and then frees the memory;
- a request for an unloaded name loads it again from its old path, as long as its files are there;
- nothing is replaced in place: a name that is taken is refused.
"""

import asyncio
import json
import threading
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.support.vllm_double_engine import BadAdapter, NoAdapterHere, Weights, log_probs, read_adapter
from tests.support.waiting import wait_until


class SglangDouble:
    """The server's state. `paths`: what was ever loaded, which nothing clears."""

    def __init__(self, *, max_lora_rank: int = 16, token_s: float = 0.0) -> None:
        self.max_lora_rank, self.token_s, self.url = max_lora_rank, token_s, ""
        self.loaded: dict[str, Weights] = {}
        self.paths: dict[str, str] = {}
        self.requests: list[tuple[str, Any]] = []
        self._running: Counter[str] = Counter()
        self._ended: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/v1/models", self._models),
                Route("/load_lora_adapter", self._load, methods=["POST"]),
                Route("/unload_lora_adapter", self._unload, methods=["POST"]),
                Route("/generate", self._generate, methods=["POST"]),
            ]
        )

    async def _models(self, _: Request) -> Response:
        base = {"id": "base", "object": "model", "root": "base", "parent": None}
        cards = [{"id": name, "root": self.paths[name], "parent": "base"} for name in self.loaded]
        return JSONResponse({"object": "list", "data": [base, *cards]})

    async def _load(self, request: Request) -> Response:
        body = await self._body(request)
        name, path = body["lora_name"], body["lora_path"]
        if name in self.loaded:
            return self._answer(f"LoRA adapter {name} is already loaded")
        try:
            self.loaded[name] = read_adapter(Path(path), self.max_lora_rank)
        except (BadAdapter, NoAdapterHere) as error:
            return self._answer(str(error))
        self.paths[name] = path
        return self._answer(None)

    async def _unload(self, request: Request) -> Response:
        name = (await self._body(request))["lora_name"]
        if name not in self.loaded:
            return self._answer(f"LoRA adapter {name} is not loaded")
        weights = self.loaded.pop(name)
        if self._running[name]:
            await self._ended[name].wait()
        weights.clear()
        return self._answer(None)

    async def _generate(self, request: Request) -> Response:
        body = await self._body(request)
        name, prompt = body["lora_path"], body["input_ids"]
        if name not in self.loaded and name in self.paths:
            try:
                self.loaded[name] = read_adapter(Path(self.paths[name]), self.max_lora_rank)
            except (BadAdapter, NoAdapterHere) as error:
                return self._answer(str(error))
        if name not in self.loaded:
            return self._answer(f"LoRA adapter {name} was never loaded")
        weights = self.loaded[name]
        self._running[name] += 1
        self._ended[name].clear()
        try:
            tops = []
            for _ in range(int(body["sampling_params"]["max_new_tokens"])):
                answer = log_probs(prompt, weights)
                best = np.argsort(-answer, kind="stable")[: body["top_logprobs_num"]]
                tops.append([[float(answer[token]), int(token), None] for token in best])
                await asyncio.sleep(self.token_s)
        finally:
            self._running[name] -= 1
            if not self._running[name]:
                self._ended[name].set()
        return JSONResponse({"text": "…", "meta_info": {"output_top_logprobs": tops}})

    def _answer(self, error: str | None) -> Response:
        told = {
            "success": error is None,
            "error_message": error,
            "loaded_adapters": {n: self.paths[n] for n in self.loaded},
        }
        return JSONResponse(told, 200 if error is None else 400)

    async def _body(self, request: Request) -> dict[str, Any]:
        body: dict[str, Any] = json.loads(await request.body())
        self.requests.append((request.url.path, body))
        return body


@contextmanager
def sglang_double(**options: Any) -> Iterator[SglangDouble]:
    """Serve a double on a free port."""
    double = SglangDouble(**options)
    server = uvicorn.Server(uvicorn.Config(double.app(), port=0, log_config=None, timeout_graceful_shutdown=2))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        wait_until(lambda: server.started or not thread.is_alive())
        double.url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
        yield double
    finally:
        server.should_exit = True
        thread.join()
