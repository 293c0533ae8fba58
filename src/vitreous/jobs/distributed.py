"""Several processes by PyTorch's own engine: ``torchrun --nproc-per-node 2 -m vitreous class2d ...``.

``torchrun`` says in the environment who is who and where the first process listens; gloo joins processors, NCCL CUDA
devices. Every process runs the same job on its share of the particles, and the first one owns the folder and the screen
(:mod:`vitreous.processes` says what a method sees of it).
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist

from vitreous.processes import ALONE, Processes, joined

__all__ = ["Distributed", "ProcessLostError", "processes_of_this_job"]

T = TypeVar("T")
TIMEOUT = timedelta(hours=12)  # one process may read or write for long while the others wait


class ProcessLostError(OSError):
    """Another process of the job has ended before its time."""


@dataclass(frozen=True)
class Distributed:
    """One of several processes; made by :func:`processes_of_this_job`."""

    rank: int
    size: int
    on_this_machine: int
    _said: list[int] = field(default_factory=lambda: [0])

    @property
    def words_said(self) -> int:
        """How often :meth:`from_first` has been called."""
        return self._said[0]

    def add(self, sums: T) -> T:
        """A frozen dataclass of tensors, or of tuples of them, each summed over all processes."""
        with _explained():
            return _added(sums)

    def gather(self, found: T) -> T:
        """A frozen dataclass of arrays, each joined along its first axis, in the order of the processes."""
        parts: list[Any] = [None] * self.size
        with _explained():
            dist.all_gather_object(parts, found)
        return joined(parts)

    def from_first(self, value: T) -> T:
        """What the first process says, whatever the others do."""
        box = [value]
        self._said[0] += 1
        with _explained():
            dist.broadcast_object_list(box, src=0)
        return box[0]


def _added(sums: Any) -> Any:
    """All tensors of one kind travel together: a message of its own costs each of them a millisecond or two."""
    tensors = list(_tensors(sums))
    total: dict[int, torch.Tensor] = {}
    for kind in dict.fromkeys((t.dtype, t.device) for t in tensors):
        mine = [t for t in tensors if (t.dtype, t.device) == kind]
        flat = torch.cat([t.reshape(-1) for t in mine])
        dist.all_reduce(torch.view_as_real(flat) if flat.is_complex() else flat)
        parts = flat.split([t.numel() for t in mine])
        total |= {id(t): part.view(t.shape) for t, part in zip(mine, parts, strict=True)}
    return _with(sums, total)


def _tensors(value: Any) -> Iterator[torch.Tensor]:
    """Those in a dataclass of tensors, or of tuples of them."""
    if isinstance(value, torch.Tensor):
        yield value
    else:
        for part in value if isinstance(value, tuple) else [getattr(value, f.name) for f in fields(value)]:
            yield from _tensors(part)


def _with(value: Any, new: Mapping[int, torch.Tensor]) -> Any:
    """The same value with other tensors."""
    if isinstance(value, torch.Tensor):
        return new[id(value)]
    if isinstance(value, tuple):
        return tuple(_with(part, new) for part in value)
    return replace(value, **{f.name: _with(getattr(value, f.name), new) for f in fields(value)})


@contextmanager
def _explained() -> Iterator[None]:
    """A broken connection means that a process has gone."""
    try:
        yield
    except RuntimeError as error:
        raise ProcessLostError(
            "another process of this job has ended: its own message says why (or it was killed); the same command with "
            f"--resume goes on from the last complete iteration, with any number of processes [{_first_line(error)}]"
        ) from error


def _first_line(error: RuntimeError) -> str:
    return str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__


@contextmanager
def processes_of_this_job(environment: Mapping[str, str] = os.environ) -> Iterator[Processes]:
    """The processes that torchrun has started for this job; alone where it has not.

    With CUDA every process takes the device of its number on its machine.
    """
    size = int(environment.get("WORLD_SIZE", "1"))
    if size == 1:
        yield ALONE
        return
    if torch.cuda.is_available():
        torch.cuda.set_device(int(environment.get("LOCAL_RANK", "0")) % torch.cuda.device_count())
        backend = "cpu:gloo,cuda:nccl"
    else:
        backend = "gloo"
    with _explained():
        dist.init_process_group(backend, timeout=TIMEOUT)
    try:
        yield Distributed(
            rank=dist.get_rank(), size=size, on_this_machine=int(environment.get("LOCAL_WORLD_SIZE", size))
        )
    finally:
        dist.destroy_process_group()
