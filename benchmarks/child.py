"""Child processes with their cost: CPU seconds, wall seconds, peak memory.

Linux counts the memory of the parent at the moment of the start into the peak of the child. Therefore this file is
also the small program in between: it starts the measured one, waits for it, and writes down what it used.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

__all__ = ["ChildFailed", "Cost", "run_child"]


class ChildFailed(RuntimeError):
    """A measured program ended with an error; the message has the end of what it wrote."""


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What a process used, its own children included."""

    cpu_s: float
    wall_s: float
    peak_MB: float
    stopped: bool  # it was ended because its time was up
    status: int

    def figures(self) -> dict[str, float]:
        """For a record."""
        return {"cpu_s": round(self.cpu_s, 1), "wall_s": round(self.wall_s, 1), "peak_MB": round(self.peak_MB)}


def run_child(
    command: Sequence[str | Path],
    log: Path,
    *,
    cwd: Path | None = None,
    threads: int | None = None,
    budget_s: float = 0.0,
) -> Cost:
    """Run a program to its end, or for at most ``budget_s`` seconds (0: no limit); its output goes to ``log``.

    ``threads`` limits the numerical libraries. Raises ChildFailed when the program ends by itself with an error.
    """
    environment = dict(os.environ)
    if threads is not None:
        environment |= {name: str(threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")}
    result = log.with_suffix(".cost.json")
    between = [sys.executable, "-I", "-S", __file__, str(result.resolve()), str(budget_s)]
    with log.open("w") as output:
        subprocess.run(
            [*between, *map(str, command)], stdout=output, stderr=output, cwd=cwd, env=environment, check=True
        )
    cost = Cost(**json.loads(result.read_text()))
    if cost.status and not cost.stopped:
        tail = log.read_text(errors="replace")[-2000:]
        raise ChildFailed(f"{command[0]} ended with {cost.status}; the end of {log}:\n{tail}")
    return cost


def _in_between(result: str, budget_s: float, command: list[str]) -> None:
    start = time.perf_counter()
    process = subprocess.Popen(command)
    stopped = False

    def stop(*_: object) -> None:
        nonlocal stopped
        stopped = True
        process.terminate()

    signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, budget_s)
    _, status, usage = os.wait4(process.pid, 0)
    cost = Cost(
        cpu_s=usage.ru_utime + usage.ru_stime,
        wall_s=time.perf_counter() - start,
        peak_MB=usage.ru_maxrss / 1024,
        stopped=stopped,
        status=os.waitstatus_to_exitcode(status),
    )
    Path(result).write_text(json.dumps(asdict(cost)))


if __name__ == "__main__":
    _in_between(sys.argv[1], float(sys.argv[2]), sys.argv[3:])
