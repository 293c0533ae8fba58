"""How a job is run, as opposed to what it computes."""

import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch

from vitreous.jobs.history import to_json
from vitreous.require import require_at_least, require_finite
from vitreous.words import printable

__all__ = ["UNITS", "RunOptions", "chosen_device", "memory_bytes", "processors", "tell", "use_threads"]

UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}  # of memory


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """Options that every job has; they do not change its result.

    Parameters
    ----------
    device
        Where to compute: auto takes a CUDA device when there is one.
    memory
        Memory to stay within, such as 8G.
    threads
        Processor threads. None: all.
    resume
        Continue a job that was killed, interrupted or has failed.
    overwrite
        Remove the results of an earlier job in the folder and start again.
    json
        One line of JSON per event on standard output; text for humans goes to standard error.
    dry_run
        Say what is in the data, what memory is planned and how long it may take, and stop.
    every
        Write files of every N-th iteration for RELION, and keep them; 1 keeps the newest and every tenth. Checkpoints
        are written at every iteration, and two kept.
    """

    device: Literal["auto", "cpu", "cuda"] = "auto"
    memory: int = 4 << 30
    threads: int | None = None
    resume: bool = False
    overwrite: bool = False
    json: bool = False
    dry_run: bool = False
    every: int = 1

    def __post_init__(self) -> None:
        require_finite(self)
        require_at_least(self, {"memory": 1, "threads": 1, "every": 1})
        if self.resume and self.overwrite:
            raise ValueError("resume continues an earlier job and overwrite removes it: choose one of them")


def memory_bytes(text: str) -> int:
    """What "8G", "500M", "2.5GB" or a number of bytes means; ValueError for another text."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?", text.strip(), re.IGNORECASE)
    if match is None:
        raise ValueError(f"{text!r} is not an amount of memory; expected something like 8G or 500M")
    return int(float(match.group(1)) * UNITS[match.group(2).upper()])


def chosen_device(options: RunOptions) -> str:
    """Either "cpu" or "cuda"; ValueError when CUDA is asked for and not there."""
    available = torch.cuda.is_available()
    if options.device == "cuda" and not available:
        raise ValueError("no CUDA device is available to PyTorch here; use --device cpu")
    return "cuda" if options.device != "cpu" and available else "cpu"


def use_threads(options: RunOptions) -> int:
    """Tell PyTorch how many threads to use; returns how many it uses now."""
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    return torch.get_num_threads()


def processors() -> int:
    """How many this process may use: a batch system gives it some of the machine's."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def tell(options: RunOptions, text: str, event: str, content: Mapping[str, Any]) -> None:
    """Words for the human; with ``json`` they go to standard error and the event to standard output."""
    print(printable(text), file=sys.stderr if options.json else sys.stdout, flush=True)
    if options.json:
        print(to_json({"event": event, **content}), flush=True)
