"""Every method of the benchmark, by name. Our own begin with `lethe`."""

from collections.abc import Mapping

from workers.bench.methods.finetune import FineTune
from workers.bench.methods.lethe import Lethe, LetheStep
from workers.bench.methods.method import Method
from workers.bench.methods.nothing import nothing
from workers.bench.methods.retrain import retrain

METHODS: Mapping[str, Method] = {
    "nothing": nothing,
    "retrain": retrain,
    "finetune-0.5": FineTune(0.5),
    "finetune-1": FineTune(1),
    "finetune-2": FineTune(2),
    "finetune-5": FineTune(5),
    "lethe": Lethe(),
    "lethe-step": LetheStep(),
    "lethe-imported": Lethe(recorded=False),
    "lethe-imported-step": LetheStep(recorded=False),
}
