"""A mirror of published records in Weights & Biases."""

from pathlib import Path
from typing import Any, Literal

from da_bench.studies.records import Record


def mirror(record: Record, results: Path, mode: Literal["offline", "online"]) -> str | None:
    """Copy a published record to Weights & Biases.

    Only config, curves and result are sent. Console, arguments, code and host are not captured, so no secret and no
    path can leak; the key for "online" comes from wandb's own login.

    Args:
        record: to copy.
        results: folder that keeps offline runs.
        mode: of wandb.

    Returns:
        What went wrong, for a warning; None if nothing did. It never raises.
    """
    try:
        import wandb

        settings = wandb.Settings(
            console="off", x_disable_meta=True, x_disable_stats=True, save_code=False, silent=True
        )
        run = wandb.init(
            project="da-bench", id=record.id, dir=results, mode=mode, config=record.config, settings=settings
        )
        _log_curves(run, record)
        run.finish()
    except Exception as error:  # a mirror must never cost a result
        return f"wandb: {type(error).__name__}: {error}"
    return None


def _log_curves(run: Any, record: Record) -> None:
    curves = {**record.curves, **record.curves["metrics"], **record.curves["validators"]}
    series = {name: values for name, values in curves.items() if isinstance(values, list)}
    for i, step in enumerate(record.curves["step"]):
        run.log({name: values[i] for name, values in series.items() if name != "step"}, step=step)
    run.summary.update({"status": record.result["status"], **record.result["rules"]})
