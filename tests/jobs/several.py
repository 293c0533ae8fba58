"""Run a function of a test module in several processes, as torchrun would start them."""

import os
import socket
import subprocess
import sys
from pathlib import Path

__all__ = ["run_in_processes", "start"]


def start(words: list[str], size: int, **options) -> list[subprocess.Popen]:
    """``python WORDS`` in ``size`` processes of one job."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    common = {
        "WORLD_SIZE": str(size),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "LOCAL_WORLD_SIZE": str(size),
    }
    quiet = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", "OPENBLAS_NUM_THREADS": "1"}
    return [
        subprocess.Popen(
            [sys.executable, *words],
            env={**os.environ, **common, **quiet, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **options,
        )
        for rank in range(size)
    ]


def run_in_processes(script: Path, size: int, *arguments: str) -> list[tuple[int, str, str]]:
    """(exit code, output, errors) of a script in every process."""
    started = start([str(script), *arguments], size)
    return [(process.wait(), *process.communicate()) for process in started]
