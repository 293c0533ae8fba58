"""The core's arithmetic rate against the machine's own matrix product, in the same run.

The operations counted are those that the score needs, per image, reference and shift: 8 R_q for every harmonic q that
exists on R_q rings (a complex product and sum), and 2 n_psi Q for the sum over harmonics at n_psi rotations, of which
half come free by symmetry (twice the harmonics, half the rotations). Operations on padding are not counted.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from benchmarks.tables import markdown_table
from vitreous.matching import ImageTile, PoseGrid, RingBasis, best_rows, make_references, row_maxima

BOX_PX, RADIUS_PX = 64, 28.0
KEEP = 10.0
MACHINE_SIZE = 1536


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options."""
    parser.add_argument("--images", type=int, default=256)
    parser.add_argument("--rings", type=int, nargs="+", default=[6, 10, 16, 24])
    parser.add_argument("--range", type=float, nargs="+", default=[2.0, 4.0], help="of the shifts in pixels")
    parser.add_argument("--classes", type=int, nargs="+", default=[25, 50, 100])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--seconds", type=float, default=1.0, help="least time spent on every figure")


def measure(options: argparse.Namespace, work: Path) -> dict[str, Any]:
    """One row per number of threads, rings, range and classes."""
    rows = []
    for threads in options.threads:
        torch.set_num_threads(threads)
        for rings in options.rings:
            for reach in options.range:
                for classes in options.classes:
                    row = _one(options.images, rings, reach, classes, options.seconds)
                    rows.append({"threads": threads, **row})
                    print(rows[-1], flush=True)
    return {"images": options.images, "rows": rows}


def _one(images: int, rings: int, reach_px: float, classes: int, seconds: float) -> dict[str, Any]:
    grid = PoseGrid.for_rings(RingBasis(box_px=BOX_PX, radius_px=RADIUS_PX, rings=rings), rings, reach_px)
    shape = (grid.rings, grid.harmonics)
    used = grid.basis.used
    refs = make_references(
        grid,
        torch.randn(classes, *shape, dtype=torch.complex64) * used,
        ctf_harmonics=1,
        log_class_prior=torch.zeros(classes),
        offset_sd_px=reach_px,
    )
    data = torch.randn(images, *shape, dtype=torch.complex64) * used
    tile = ImageTile(data=data, ctf_power=torch.rand(images, grid.rings, 1).to(torch.complex64))
    left, right = torch.randn(2, MACHINE_SIZE, MACHINE_SIZE)
    work = operations(grid) * images * refs.count * refs.shifts
    maxima, rows, machine = _rates(
        [(work, lambda: row_maxima(tile, refs)), (work, lambda: best_rows(tile, refs, KEEP)),
         (2.0 * MACHINE_SIZE**3, lambda: left @ right)],
        seconds,
    )  # fmt: skip
    return {
        "rings": rings,
        "rotations": grid.n_psi,
        "shifts": refs.shifts,
        "classes": classes,
        "row_maxima_GFLOPs": round(maxima, 1),
        "best_rows_GFLOPs": round(rows, 1),
        "machine_GFLOPs": round(machine, 1),
    }


def operations(grid: PoseGrid) -> float:
    """Floating point operations per image, reference and shift (module docstring)."""
    pairs = int(grid.basis.used.sum())
    return 8.0 * pairs + 2.0 * grid.n_psi * grid.harmonics


def _rates(tasks: list[tuple[float, Callable[[], object]]], seconds: float) -> list[float]:
    """GFLOP/s of the fastest call of every task; the tasks take turns, so that all meet the same machine."""
    best = [float("inf")] * len(tasks)
    for _, call in tasks:
        call()
    end = time.perf_counter() + seconds * len(tasks)
    while True:
        for i, (_, call) in enumerate(tasks):
            start = time.perf_counter()
            call()
            best[i] = min(best[i], time.perf_counter() - start)
        if time.perf_counter() > end:
            return [work / t / 1e9 for (work, _), t in zip(tasks, best, strict=True)]


def table(figures: dict[str, Any]) -> str:
    """Rates and their ratio to the machine's."""
    header = (
        *("threads", "rings", "rotations", "shifts", "classes", "`row_maxima` GFLOP/s", "`best_rows` GFLOP/s"),
        *("machine GFLOP/s", "`row_maxima` / machine"),
    )
    rows = [
        (*r.values(), f"{100 * r['row_maxima_GFLOPs'] / r['machine_GFLOPs']:.0f} %")
        for r in figures["rows"]
    ]  # fmt: skip
    text = (
        f"{figures['images']} random images, float32. The machine's rate is that of a product of two "
        f"{MACHINE_SIZE} x {MACHINE_SIZE} matrices; fastest of many calls, taking turns."
    )
    return f"{text}\n\n{markdown_table(header, rows)}"
