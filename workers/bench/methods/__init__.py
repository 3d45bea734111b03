"""Every method of the benchmark, by name. Our own begin with `lethe`."""

from collections.abc import Mapping

from workers.bench.methods.ekfac import accurate_retained, ekfac
from workers.bench.methods.end_point import EndPoint, datainf, gauss_newton_cg, sketched_retained, win_u
from workers.bench.methods.finetune import FineTune
from workers.bench.methods.kfade import KFade
from workers.bench.methods.lethe import Lethe, lethe_vectors
from workers.bench.methods.lissa import LiSSA
from workers.bench.methods.llmeraser import AsReleased, AsWritten
from workers.bench.methods.method import Method
from workers.bench.methods.nothing import nothing
from workers.bench.methods.preference import NPO, PushAway, SimNPO, ascent
from workers.bench.methods.replay import Replay
from workers.bench.methods.retrain import retrain
from workers.bench.methods.shards import Shards
from workers.bench.methods.task_arithmetic import TaskArithmetic
from workers.engine.folds import PARTITIONS

METHODS: Mapping[str, Method] = {
    "nothing": nothing,
    "retrain": retrain,
    "finetune-0.5": FineTune(0.5),
    "finetune-1": FineTune(1),
    "finetune-2": FineTune(2),
    "finetune-5": FineTune(5),
    "replay-1": Replay(0),
    "replay-2": Replay(1),
    "replay-3": Replay(2),
    "replay-2-short": Replay(1, share=0.25),
    "gradient-ascent": PushAway(ascent, hold=0.0),
    "graddiff": PushAway(ascent, hold=1.0),
    "npo": PushAway(NPO(), hold=1.0),
    "simnpo": PushAway(SimNPO(), hold=1.0),
    "task-arithmetic": TaskArithmetic(),
    "llmeraser-released": AsReleased(),
    "llmeraser-released-calibrated": AsReleased(calibrated=True),
    "llmeraser-written": AsWritten(),
    "lissa": EndPoint(LiSSA()),
    "lissa-calibrated": EndPoint(LiSSA(), calibrated=True),
    "gauss-newton-cg": EndPoint(gauss_newton_cg),
    "gauss-newton-cg-calibrated": EndPoint(gauss_newton_cg, calibrated=True),
    "datainf": EndPoint(datainf),
    "datainf-calibrated": EndPoint(datainf, calibrated=True),
    "ekfac": EndPoint(ekfac),
    "ekfac-calibrated": EndPoint(ekfac, calibrated=True),
    "k-fade": KFade(),
    "win-u": EndPoint(win_u),
    "win-u-calibrated": EndPoint(win_u, calibrated=True),
    "sisa": Shards(),
    "lethe-out-of-fold": Lethe(partitions=PARTITIONS),
    "lethe": Lethe(),
    "lethe-1%": Lethe(budget=0.01),
    "lethe-imported": Lethe(recorded=False),
    "lethe-vectors": lethe_vectors,
    "lethe-imported-step": EndPoint(sketched_retained, calibrated=True),
    "lethe-imported-pcg": EndPoint(accurate_retained, calibrated=True),
}
