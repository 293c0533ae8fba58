"""The core's arithmetic rate against the machine's own matrix product, in the same run.

The operations counted are those that the score needs, per image, reference and shift: 8 R_q for every harmonic q that
exists on R_q rings (a complex product and sum), and 2 n_psi Q for the sum over harmonics at n_psi rotations, of which
half come free by symmetry (twice the harmonics, half the rotations). Operations on padding are not counted. As in a
pass over the data, the references are shifted beforehand, and every thread works on a tile of its own. Time is CPU time
by thread, which a busy machine disturbs less than wall time.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from benchmarks.tables import markdown_table
from vitreous.matching import ImageTile, PoseGrid, RingBasis, best_rows, in_blocks, make_references, row_maxima
from vitreous.matching.workers import ordered_map

BOX_PX, RADIUS_PX = 64, 28.0
KEEP = 10.0
MACHINE_SIZE = 1536


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options."""
    parser.add_argument("--images", type=int, default=96)
    parser.add_argument("--rings", type=int, nargs="+", default=[16, 24])
    parser.add_argument("--range", type=float, nargs="+", default=[2.0], help="of the shifts in pixels")
    parser.add_argument("--references", type=int, nargs="+", default=[50, 400, 1536])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--seconds", type=float, default=1.0, help="least time spent on every figure")


def measure(options: argparse.Namespace, work: Path) -> dict[str, Any]:
    """One row per number of threads, rings, range and references."""
    rows = []
    for threads in options.threads:
        for rings in options.rings:
            for reach in options.range:
                for count in options.references:
                    row = _one(options.images, rings, reach, count, threads, options.seconds)
                    rows.append({"threads": threads, **row})
                    print(rows[-1], flush=True)
    return {"images": options.images, "rows": rows}


def _one(images: int, rings: int, reach_px: float, count: int, threads: int, seconds: float) -> dict[str, Any]:
    grid = PoseGrid.for_rings(RingBasis(box_px=BOX_PX, radius_px=RADIUS_PX, rings=rings), rings, reach_px)
    shape = (grid.rings, grid.harmonics)
    used = grid.basis.used
    refs = make_references(
        grid,
        torch.randn(count, *shape, dtype=torch.complex64) * used,
        ctf_harmonics=1,
        log_class_prior=torch.zeros(count),
        offset_sd_px=reach_px,
    )
    data = torch.randn(images, *shape, dtype=torch.complex64) * used
    tile = ImageTile(data=data, ctf_power=torch.rand(images, grid.rings, 1).to(torch.complex64))
    (block,) = in_blocks(refs, images)
    left, right = torch.randn(2, MACHINE_SIZE, MACHINE_SIZE)
    work = threads * operations(grid) * images * refs.count * refs.shifts
    tasks: list[tuple[float, Callable[[], object]]] = [
        (work, lambda: row_maxima(tile, block)),
        (work, lambda: best_rows(tile, block, KEEP)),
        (threads * 2.0 * MACHINE_SIZE**3, lambda: left @ right),
    ]
    maxima, rows, machine = (
        threads * rate for rate in _rates([(work, _by_all(call, threads)) for work, call in tasks], seconds)
    )
    return {
        "rings": rings,
        "rotations": grid.n_psi,
        "shifts": refs.shifts,
        "references": count,
        "row_maxima_GFLOPs": round(maxima, 1),
        "best_rows_GFLOPs": round(rows, 1),
        "machine_GFLOPs": round(machine, 1),
    }


def _by_all(call: Callable[[], object], threads: int) -> Callable[[], object]:
    """The same work done by every thread."""
    return lambda: [None for _ in ordered_map(lambda _: call(), range(threads), threads)]


def operations(grid: PoseGrid) -> float:
    """Floating point operations per image, reference and shift (module docstring)."""
    pairs = int(grid.basis.used.sum())
    return 8.0 * pairs + 2.0 * grid.n_psi * grid.harmonics


def _rates(tasks: list[tuple[float, Callable[[], object]]], seconds: float) -> list[float]:
    """GFLOP per CPU second of the fastest call of every task; tasks take turns, so that all meet the same machine."""
    best = [float("inf")] * len(tasks)
    for _, call in tasks:
        call()
    end = time.perf_counter() + seconds * len(tasks)
    while True:
        for i, (_, call) in enumerate(tasks):
            start = time.process_time()
            call()
            best[i] = min(best[i], time.process_time() - start)
        if time.perf_counter() > end:
            return [work / t / 1e9 for (work, _), t in zip(tasks, best, strict=True)]


def table(figures: dict[str, Any]) -> str:
    """Rates and their ratio to the machine's."""
    header = (
        *("threads", "rings", "rotations", "shifts", "references", "`row_maxima` GFLOP/s", "`best_rows` GFLOP/s"),
        *("machine GFLOP/s", "`row_maxima` / machine"),
    )
    rows = [
        (*r.values(), f"{100 * r['row_maxima_GFLOPs'] / r['machine_GFLOPs']:.0f} %")
        for r in figures["rows"]
    ]  # fmt: skip
    text = (
        f"{figures['images']} random images, float32. The machine's rate is that of a product of two "
        f"{MACHINE_SIZE} x {MACHINE_SIZE} matrices, one in every thread; fastest of many calls, taking turns."
    )
    return f"{text}\n\n{markdown_table(header, rows)}"
