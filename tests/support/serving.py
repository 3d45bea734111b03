"""A line whose versions doubles of inference servers can load, and a pusher that drives them."""

from collections.abc import Sequence
from pathlib import Path

from service.control.pusher import Pace, Pusher
from service.domain.serving import Precision, ServerKind
from service.domain.serving_limits import ServingLimits
from service.flows.serving_targets import ServingOrder, add_target
from service.hotswap.directory import Directory
from service.store.tables import Replica
from tests.support.house import ACTOR, House
from tests.support.lora_files import random_tensors, write_adapter
from tests.support.probing import probe_of
from tests.support.published import Publisher
from tests.support.vllm_double_engine import log_probs, read_adapter, write_base

MODULES = [f"model.layers.{layer}.self_attn.{name}" for layer in (0, 1) for name in ("q_proj", "v_proj")]
PROMPTS = [(11, 42, 7, 30, 5), (3, 14, 15, 9, 2, 6), (60, 1, 33)]


def reference(prompt: Sequence[int], directory: Path | None) -> Sequence[float]:
    """What a double must answer."""
    weights = {} if directory is None else read_adapter(directory, max_lora_rank=512)
    return [float(value) for value in log_probs(prompt, weights)]


class Serving:
    """A house, a base model for doubles, the directory that they mount, and the versions of one line."""

    def __init__(self, house: House, root: Path, line: str = "bot") -> None:
        self.house, self.line = house, line
        self.base = write_base(root / "base", MODULES, width=16)
        self.mount = root / "serving"
        self._made = root / "made"
        self.published: list[Path] = []
        self.publisher = Publisher(house, line, str(self.base))

    def pusher(self, *, lease_s: float = 60, check_s: float = 0, patience_s: float = 2) -> Pusher:
        pace = Pace(lease_s=lease_s, check_s=check_s, patience_s=patience_s)
        return Pusher(self.house.store, lambda: self.house.vault, Directory(self.mount, self.house.blobs), pace)

    def publish(self, *, r: int = 4, probe_from: Path | None = None) -> Path:
        """The line's next version; the directory it was published from."""
        number = len(self.published) + 1
        made = write_adapter(self._made / f"v{number}", random_tensors(self.base, number, r=r), r=r)
        before = self.published[-1] if self.published else None
        self.publisher.publish(made, probe_of(reference, PROMPTS, probe_from or made, before))
        self.published.append(made)
        return made

    def register(
        self,
        *urls: str,
        kind: ServerKind = ServerKind.vllm,
        name: str = "chat",
        api_key: str | None = None,
        limits: ServingLimits | None = None,
    ) -> str:
        order = ServingOrder(
            name=name,
            kind=kind,
            urls=urls,
            lines=[self.line],
            alias="production",
            mount=str(self.mount),
            precision=Precision.float32,
            limits=limits or ServingLimits(),
            api_key=api_key,
        )
        with self.house.store.write() as unit:
            return add_target(unit, self.house.vault, order, mounts=[str(self.mount)], actor=ACTOR).id

    def replicas(self, target: str) -> Sequence[Replica]:
        with self.house.store.read() as unit:
            return unit.serving.replicas_of(target)

    def path(self, number: int) -> Path:
        """Where servers find a version."""
        return self.mount / self.digest(number)

    def digest(self, number: int) -> str:
        with self.house.store.read() as unit:
            line = unit.lines.by_name(self.line)
            assert line is not None
            version = unit.versions.by_number(line.id, number)
            assert version is not None
            return str(version.digest).removeprefix("sha256:")
