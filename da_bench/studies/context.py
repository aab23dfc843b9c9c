"""What the groups of a study share while they run."""

import contextlib
from collections.abc import Iterable
from typing import NamedTuple

from da_bench.core.distributed import is_primary
from da_bench.core.locks import LockedError, hold_locks
from da_bench.core.progress import ProgressReporter
from da_bench.core.shutdown import StopRequest
from da_bench.studies.options import Options
from da_bench.studies.provenance import checkout
from da_bench.studies.records import Records
from da_bench.training.checkpoints import Checkpoints
from da_bench.training.loop import Session

REVERSE = "reverse"  # subfolder of the checkpoints that holds those of reverse learners


class StudyContext(NamedTuple):
    """What the groups of a study share.

    Attributes:
        records: where runs are published.
        options: of the study.
        progress: what the user is shown.
        request: whether somebody asked to stop.
    """

    records: Records
    options: Options
    progress: ProgressReporter
    request: StopRequest

    def try_lock_runs(self, ids: Iterable[str], stack: contextlib.ExitStack) -> bool:
        """Lock runs until `stack` closes; only the primary process takes locks.

        With `Options.retry` failed records are removed here: without the lock, a record that another process has just
        published could be lost.

        Returns:
            False where another process holds one of the locks; none is taken then.
        """
        if not is_primary():
            return True
        ids = list(ids)
        try:
            stack.enter_context(hold_locks([self.records.lock(run_id) for run_id in ids]))
        except LockedError:
            return False
        for run_id in self.records.failures(ids) if self.options.retry else []:
            self.records.forget(run_id)
        return True

    def checkpoints(self, ids: Iterable[str], fingerprint: str, part: str = "") -> Checkpoints:
        """Return the checkpoints of a group of runs; `part` is a subfolder, "" or REVERSE."""
        return Checkpoints(self.options.checkpoints / part, list(ids), fingerprint)

    def session(self, checkpoints: Checkpoints) -> Session:
        """Return the surroundings of a training loop that saves to `checkpoints`."""
        return Session(
            checkpoints=checkpoints,
            checkpoint_seconds=self.options.checkpoint_seconds,
            progress=self.progress,
            request=self.request,
            commit=checkout()["commit"],
        )
