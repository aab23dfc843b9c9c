"""Training: many runs as one compiled program, each a pure function of its key."""

from da_bench.training.config import Training, scale_trunk_updates
from da_bench.training.mesh import make_mesh, over_runs, shard_batch, stack_runs
from da_bench.training.prediction import PredictRequest, evaluation_chunk, predict
from da_bench.training.sampling import (
    Data,
    Draw,
    batch_shapes,
    draw_order,
    draw_rows,
    gather_data,
    take_batch,
)
from da_bench.training.step import (
    Carry,
    RunSettings,
    TrainedRun,
    advance_run,
    augment_batch,
    init_state,
    initial_carry,
    make_predictor,
    make_train_step,
    make_trainer,
    mean_metrics,
    train_run,
)

__all__ = [
    "Carry",
    "Data",
    "Draw",
    "PredictRequest",
    "RunSettings",
    "TrainedRun",
    "Training",
    "advance_run",
    "augment_batch",
    "batch_shapes",
    "draw_order",
    "draw_rows",
    "evaluation_chunk",
    "gather_data",
    "init_state",
    "initial_carry",
    "make_mesh",
    "make_predictor",
    "make_train_step",
    "make_trainer",
    "mean_metrics",
    "over_runs",
    "predict",
    "scale_trunk_updates",
    "shard_batch",
    "stack_runs",
    "take_batch",
    "train_run",
]
