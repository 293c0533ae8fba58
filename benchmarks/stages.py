"""CPU seconds and peak memory of the stages of a measured program, counted within it. Needs nothing but Python."""

import json
import resource
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

__all__ = ["STAGES_HEADER", "Stages", "stages_text"]

STAGES_HEADER = "stages, CPU s (peak of memory so far, MB)"


class Stages:
    """A stopwatch of CPU seconds (user and system, all threads), started with the process."""

    def __init__(self) -> None:
        self.records: list[dict[str, Any]] = []
        self._begin = 0.0

    def end(self, name: str) -> None:
        """The stage ``name`` ends here, and the next one begins. ``peak_MB`` is that of the process so far."""
        now = time.process_time()
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        self.records.append({"stage": name, "cpu_s": round(now - self._begin, 2), "peak_MB": round(peak)})
        self._begin = now

    def write(self, path: Path) -> None:
        """As a JSON list."""
        path.write_text(json.dumps(self.records))


def stages_text(runs: Sequence[Sequence[dict[str, Any]]]) -> str:
    """The stages of runs of one program for a table: mean CPU seconds, highest peak."""
    parts = []
    for stage in zip(*runs, strict=True):
        seconds = sum(record["cpu_s"] for record in stage) / len(stage)
        parts.append(f"{stage[0]['stage']} {seconds:.1f} ({max(record['peak_MB'] for record in stage):,})")
    return "; ".join(parts)
