"""2D classes of simulated ribosomes against the truth: quality, CPU time, memory, one and two threads.

The data (5,000 particles of the 70S ribosome, 64 px, 5 A per pixel, seven defocus groups, SNR 0.1 and 0.02) and the
scores come from the scoring scripts beside the project; ours runs with its default settings and K = 50.
"""

import argparse
from pathlib import Path
from typing import Any

from benchmarks import program, sticks
from benchmarks.tables import markdown_table

# RELION 5.0.1 on the same data (one seed, two cores), as quoted in README.md of the scoring scripts.
QUOTED = (
    ("RELION 5.0.1 VDAM, 100 iterations (quoted)", 0.1, 25.4, 20.9, 12.2, 0.950, 23.7, 23.4, None, 1751, 230),
    ("RELION 5.0.1 VDAM, 100 iterations (quoted)", 0.02, 81.4, 51.8, 60.7, 0.792, 41.8, 33.4, None, 1951, 222),
    ("spherical k-means of the true directions (quoted)", 0.1, 14.6, None, 11.0, *[None] * 6),
)
HEADER = (
    *("program", "SNR", "seed", "threads", "spread (deg)", "mirrors folded", "median (deg)", "cc", "FRC 0.5 mean (A)"),
    *("FRC 0.5 median (A)", "in-plane median (deg)", "CPU s", "wall s", "peak MB"),
)
FIGURES = ("pair_deg", "pair_fold_deg", "med_deg", "cc", "frc05_A", "frc05_median_A", "inplane_med_deg")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options; the defaults are the ones of the published table."""
    parser.add_argument("--sticks", type=Path, default=sticks.DEFAULT, help="folder of make_data.py and metrics.py")
    parser.add_argument("--seeds", type=int, nargs="+", default=[20240501, 20240502, 20240503], help="of the data")
    parser.add_argument("--snr", type=float, nargs="+", default=[0.1, 0.02], choices=[0.1, 0.02])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--particles", type=int, default=5000)
    parser.add_argument("--classes", type=int, default=50)


def measure(options: argparse.Namespace, work: Path) -> dict[str, Any]:
    """One row per seed, SNR and number of threads."""
    rows = []
    for seed in options.seeds:
        data = sticks.make_data(options.sticks, work / f"data-{seed}-{options.particles}", seed=seed,
                                particles=options.particles)  # fmt: skip
        for snr in options.snr:
            for threads in options.threads:
                folder = work / f"run-{seed}-{snr}-{threads}"
                row = one_run(options.sticks, data, folder, snr=snr, threads=threads, classes=options.classes)
                rows.append({"seed": seed, **row})
                print(row, flush=True)
    return {"particles": options.particles, "classes": options.classes, "rows": rows}


def one_run(stick: Path, data: Path, folder: Path, *, snr: float, threads: int, classes: int) -> dict[str, Any]:
    """Classify one data set with the default settings and score it."""
    cost = program.class2d(data / f"particles_snr{snr}.star", folder, threads=threads, classes=classes)
    score = sticks.score_class2d(stick, data, folder / "run_data.star", folder / "run_classes.mrcs")
    return {"snr": snr, "threads": threads, **score, **cost.figures(), "iterations": len(program.history(folder))}


def table(figures: dict[str, Any]) -> str:
    """Ours, and the quoted figures where they are about the same data."""
    rows = [
        ("vitreous", r["snr"], r["seed"], r["threads"], *(r[f] for f in FIGURES), r["cpu_s"], r["wall_s"], r["peak_MB"])
        for r in sorted(figures["rows"], key=lambda r: (-r["snr"], r["threads"], r["seed"]))
    ]
    text = f"{figures['particles']:,} particles, K = {figures['classes']}."
    if (figures["particles"], figures["classes"]) == (5000, 50):
        rows += [(name, snr, None, None, *rest[:-2], rest[-2], None, rest[-1]) for name, snr, *rest in QUOTED]
        text += " Rows marked as quoted were not measured here; they are figures of the same data on another machine."
    return f"{text}\n\n{markdown_table(HEADER, rows)}"
