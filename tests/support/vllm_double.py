"""A double of a vLLM server with run-time LoRA, as vLLM 0.32.0 was observed to behave, its traps included.

`tests/vllm/test_behaviour.py` asserts the same of the double and, under `make test-vllm`, of a real server:

- loading and unloading answer in plain text without a content type, and 500 means a bad adapter, not "try again";
- unloading forgets the name and nothing else: the weights stay resident until others need the room, and only
  loading *in place* over the old name, before unloading it, removes them;
- in place, a shape that does not fit leaves a mixture of both adapters, which is served with 200;
- a name is looked up once: after that the resolver is not asked again until it is unloaded;
- an evicted adapter is read again from its path; if that is gone, the whole server ends;
- `/adapters` is open even where `/v1` asks for a key;
- the metric keeps every past set of labels as a series of its own, with the time as value.

    with vllm_double(base) as double:
        httpx.post(f"{double.url}/v1/load_lora_adapter", json={"lora_name": "bot@v1", "lora_path": str(directory)})
        double.engine.copies_of(directory)        # residency, which no real server tells
        double.log_probs([1, 2, 3], directory)    # what it must answer with this adapter; None: with the base model
"""

import asyncio
import json
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from service.store.base_shapes import float_shapes
from tests.support.vllm_double_engine import (
    BadAdapter,
    Engine,
    EngineDead,
    LoraRequest,
    Matrix,
    NoAdapterHere,
    log_probs,
    read_adapter,
)
from tests.support.waiting import wait_until

BASE = "base"
MAX_LOGPROBS = 20
Resolve = Callable[[str, str], Awaitable[LoraRequest | None]]


class _Refused(Exception):
    """An answer that is an error."""

    def __init__(self, status: int, kind: str, message: str) -> None:
        super().__init__(message)
        self.response = JSONResponse(
            {"error": {"message": message, "type": kind, "param": None, "code": status}}, status
        )


class VllmDouble:
    """The server's state. Tests read it; the pusher and the resolver see HTTP only.

    Args:
        base: directory of the base model, whose safetensors headers give the shapes; also the launch argument.
        resolve: what a LoRAResolver's `resolve_lora` does.
        token_s: how long a generated token takes, for generations that are still under way.
    """

    def __init__(
        self,
        base: Path,
        *,
        max_loras: int = 2,
        max_lora_rank: int = 16,
        api_key: str | None = None,
        resolve: Resolve | None = None,
        token_s: float = 0.0,
    ) -> None:
        shapes = {name.removesuffix(".weight"): shape for name, shape in float_shapes(base).items() if len(shape) == 2}
        self.engine = Engine(shapes, max_loras=max_loras, max_lora_rank=max_lora_rank)
        self.base, self.api_key, self.resolve, self.token_s = base, api_key, resolve, token_s
        self.registered: dict[str, LoraRequest] = {}
        self.requests: list[tuple[str, str, Mapping[str, Any]]] = []
        self.url = ""
        self.on_death: Callable[[], None] = lambda: None
        self.ended = False
        self._ids = 0
        self._running: Counter[str] = Counter()
        self._series: dict[str, float] = {}
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    def log_probs(self, prompt: Sequence[int], directory: Path | None) -> Matrix:
        """The answer by the adapter in a directory; None: by the base model."""
        return log_probs(prompt, {} if directory is None else read_adapter(directory))

    def is_running(self, name: str) -> bool:
        """Whether a generation uses an adapter."""
        return self._running[name] > 0

    def app(self) -> Starlette:
        routes = [
            Route("/health", self._health),
            Route("/version", self._version),
            Route("/metrics", self._metrics),
            Route("/v1/models", self._models),
            Route("/v1/load_lora_adapter", self._load, methods=["POST"]),
            Route("/v1/unload_lora_adapter", self._unload, methods=["POST"]),
            Route("/v1/completions", self._completions, methods=["POST"]),
            Route("/adapters", self._register, methods=["POST"]),
            Route("/adapters/{name:path}", self._unregister, methods=["DELETE"]),
        ]
        return Starlette(routes=[Route(r.path, self._guarded(r.endpoint), methods=r.methods) for r in routes])

    def _guarded(self, endpoint: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            # Only /v1 is behind the key.
            wanted = f"Bearer {self.api_key}"
            if self.api_key and request.url.path.startswith("/v1") and request.headers.get("Authorization") != wanted:
                return JSONResponse({"error": "Unauthorized"}, 401)
            try:
                return await endpoint(request)
            except _Refused as refused:
                return refused.response

        return answer

    async def _health(self, request: Request) -> Response:
        return Response(status_code=503 if self.engine.dead else 200)

    async def _version(self, request: Request) -> Response:
        return JSONResponse({"version": "0.32.0"})

    async def _models(self, request: Request) -> Response:
        base = {"id": BASE, "object": "model", "root": str(self.base), "parent": None}
        loras = [
            {"id": name, "object": "model", "root": lora.lora_path, "parent": BASE}
            for name, lora in self.registered.items()
        ]
        return JSONResponse({"object": "list", "data": [base, *loras]})

    async def _load(self, request: Request) -> Response:
        body = await self._body(request, "lora_name", "lora_path")
        name = body["lora_name"]
        self._add(name, body["lora_path"], in_place=bool(body.get("load_inplace", False)))
        return _plain(f"Success: LoRA adapter '{name}' added successfully.")

    async def _unload(self, request: Request) -> Response:
        body = await self._body(request, "lora_name")
        self._forget(body["lora_name"])
        return _plain(f"Success: LoRA adapter '{body['lora_name']}' removed successfully.")

    async def _register(self, request: Request) -> Response:
        body = await self._body(request, "name", "src")
        self._add(body["name"], body["src"], in_place=False)
        return _plain(f"Adapter {body['name']} registered")

    async def _unregister(self, request: Request) -> Response:
        self._forget(request.path_params["name"])
        return _plain(f"Adapter {request.path_params['name']} unregistered")

    def _add(self, name: str, path: str, *, in_place: bool) -> None:
        if name == BASE:
            raise _Refused(400, "InvalidUserInput", "The name is that of a base model.")
        if name in self.registered and not in_place:
            raise _Refused(400, "InvalidUserInput", f"The lora adapter '{name}' has already been loaded.")
        known = self.registered.get(name)
        request = LoraRequest(name, known.lora_int_id if known else self._next_id(), path, in_place)
        try:
            self.engine.add(request)
        except NoAdapterHere as error:
            raise _Refused(404, "NotFoundError", str(error)) from error
        except BadAdapter as error:
            raise _Refused(500, "InternalServerError", str(error)) from error
        self.registered[name] = request

    def _forget(self, name: str) -> None:
        """The name goes; the weights stay where they are."""
        if self.registered.pop(name, None) is None:
            raise _Refused(404, "NotFoundError", f"The lora adapter '{name}' cannot be found.")

    def _next_id(self) -> int:
        self._ids += 1
        return self._ids

    async def _completions(self, request: Request) -> Response:
        body = await self._body(request, "model")
        name, tokens, asked = body["model"], int(body.get("max_tokens", 16)), int(body.get("logprobs") or 0)
        if asked > MAX_LOGPROBS:
            raise _Refused(
                400, "BadRequestError", f"Requested sample logprobs of {asked}, greater than {MAX_LOGPROBS}"
            )
        lora = None if name == BASE else await self._found(name)
        prompt = body.get("prompt", "")
        ids = list(prompt.encode()) if isinstance(prompt, str) else list(prompt)
        choice = await self._generated(lora, name, ids, tokens, asked)
        try:
            json.dumps(choice, allow_nan=False)
        except ValueError as error:
            raise _Refused(400, "BadRequestError", str(error)) from error
        return JSONResponse({"object": "text_completion", "model": name, "choices": [choice]})

    async def _found(self, name: str) -> LoraRequest:
        """A registered adapter, or what the resolver says; single-flight by name."""
        async with self._locks[name]:
            if name in self.registered:
                return self.registered[name]
            found = None
            if self.resolve is not None:
                try:
                    found = await self.resolve(str(self.base), name)
                except Exception as error:
                    raise _Refused(500, "InternalServerError", str(error)) from error
            if found is None:
                raise _Refused(404, "NotFoundError", f"The model `{name}` does not exist.")
            found.lora_int_id = self._next_id()
            try:
                self.engine.add(found)
            except (NoAdapterHere, BadAdapter) as error:
                raise _Refused(400, "BadRequestError", str(error)) from error
            self.registered[name] = found
            return found

    async def _generated(
        self, lora: LoraRequest | None, name: str, prompt: list[int], tokens: int, asked: int
    ) -> dict[str, Any]:
        """A greedy choice. Weights are looked up token by token, as in a server whose adapter changes meanwhile."""
        chosen: list[int] = []
        tops: list[dict[str, float]] = []
        own: list[float] = []
        self._count(name, lora, +1)
        try:
            for _ in range(tokens):
                answer = self.engine.log_probs(lora, [*prompt, *chosen])
                best = [int(token) for token in np.argsort(-answer, kind="stable")[:asked]]
                chosen.append(int(np.argmax(answer)))
                own.append(float(answer[chosen[-1]]))
                tops.append({f"token_id:{token}": float(answer[token]) for token in best})
                await asyncio.sleep(self.token_s)
        except EngineDead as error:
            self.on_death()
            raise _Refused(500, "InternalServerError", f"EngineDeadError: {error}") from error
        finally:
            self._count(name, lora, -1)
        told = {"tokens": [f"token_id:{t}" for t in chosen], "token_logprobs": own, "top_logprobs": tops}
        text = "".join(chr(97 + token % 26) for token in chosen)
        return {"index": 0, "text": text, "finish_reason": "length", "logprobs": told if asked else None}

    def _count(self, name: str, lora: LoraRequest | None, change: int) -> None:
        if lora is not None:
            self._running[name] += change
            self._series[",".join(sorted(+self._running))] = time.time()

    async def _metrics(self, request: Request) -> Response:
        lines = [
            f'vllm:lora_requests_info{{max_lora="{self.engine.max_loras}",running_lora_adapters="{names}",'
            f'waiting_lora_adapters=""}} {at!r}\n'
            for names, at in self._series.items()
        ]
        return PlainTextResponse("# TYPE vllm:lora_requests_info gauge\n" + "".join(lines))

    async def _body(self, request: Request, *required: str) -> dict[str, Any]:
        body = None
        if request.headers.get("Content-Type", "").partition(";")[0] == "application/json":
            with suppress(ValueError):
                body = await request.json()
        if not isinstance(body, dict) or not all(isinstance(body.get(key), str) and body[key] for key in required):
            raise _Refused(400, "BadRequestError", f"Needed: JSON with {', '.join(required)}.")
        self.requests.append((request.method, request.url.path, body))
        return body


def _plain(text: str) -> Response:
    """As vLLM sends it: text without a content type."""
    return Response(text)


@contextmanager
def vllm_double(base: Path, **options: Any) -> Iterator[VllmDouble]:
    """Serve a double on a free port. It stops by itself when its engine dies."""
    double = VllmDouble(base, **options)
    server = uvicorn.Server(uvicorn.Config(double.app(), port=0, log_config=None, timeout_graceful_shutdown=2))
    double.on_death = lambda: setattr(server, "should_exit", True)

    def run() -> None:
        server.run()
        double.ended = True

    thread = threading.Thread(target=run)
    thread.start()
    try:
        wait_until(lambda: server.started or not thread.is_alive())
        double.url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
        yield double
    finally:
        server.should_exit = True
        thread.join()
