"""Cost per particle and pass, and peak memory, against the number of particles, classes and pixels.

Simulated particles are streamed to disk and classified by one thread at a fixed number of passes and a fixed
resolution limit, so that every run does the same work per particle. Time in passes is what the job records for its
iterations; the rest (start, reading and preparing the images, final averages, files, report) is the CPU time left.
"""

import argparse
import shutil
from pathlib import Path
from typing import Any

from benchmarks import program
from benchmarks.tables import markdown_table

FIELD_A = 320.0  # the box is always this wide, so more pixels are smaller ones
LIMIT_A = 30.0


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options."""
    parser.add_argument("--particles", type=int, nargs="+", default=[1000, 3000, 10_000, 30_000, 100_000])
    parser.add_argument("--classes", type=int, nargs="+", default=[25, 50, 100, 200])
    parser.add_argument("--box", type=int, nargs="+", default=[64, 128, 256])
    parser.add_argument("--iterations", type=int, default=6)
    parser.add_argument("--base", type=int, nargs=3, default=[5000, 50, 64], help="particles, classes, box of the rest")
    parser.add_argument("--keep", action="store_true", help="keep the simulated images")


def measure(options: argparse.Namespace, work: Path) -> dict[str, Any]:
    """One row per run: first more particles, then more classes, then more pixels."""
    n, k, box = options.base
    runs = [(m, k, box) for m in options.particles]
    runs += [(n, m, box) for m in options.classes] + [(n, k, m) for m in options.box]
    rows = []
    for run in dict.fromkeys(runs):
        rows.append(_one(work, *run, options.iterations, keep=options.keep))
        print(rows[-1], flush=True)
    return {"iterations": options.iterations, "rows": rows}


def _one(work: Path, particles: int, classes: int, box: int, iterations: int, *, keep: bool) -> dict[str, Any]:
    data, folder = work / f"data-{particles}-{box}", work / f"run-{particles}-{classes}-{box}"
    star = program.simulate(data, particles=particles, box_px=box, pixel_size_A=FIELD_A / box, snr=0.1)
    cost = program.class2d(
        star, folder, classes=classes, iterations=iterations, subset=particles, resolution_limit_A=LIMIT_A
    )
    passes = program.history(folder)
    visits = sum(p["batch_size"] for p in passes)
    in_passes = sum(p["seconds"] for p in passes)
    if not keep:
        shutil.rmtree(data)
    return {
        "particles": particles,
        "classes": classes,
        "box_px": box,
        "working_box_px": passes[-1]["working_box_px"],
        "passes": len(passes),
        "ms_per_particle_and_pass": round(1e3 * in_passes / visits, 3),
        "passes_s": round(in_passes, 1),
        **cost.figures(),
    }


def table(figures: dict[str, Any]) -> str:
    """All runs."""
    header = (
        *("particles", "K", "box (px)", "working box", "passes", "ms per particle and pass", "passes (s)"),
        *("all (CPU s)", "wall s", "peak MB"),
    )
    rows = [[f"{r['particles']:,}", *list(r.values())[1:]] for r in figures["rows"]]
    text = f"Ribosome-like phantom, box {FIELD_A:g} A wide, SNR 0.1, one thread, resolution limit {LIMIT_A:g} A."
    return f"{text}\n\n{markdown_table(header, rows)}"
