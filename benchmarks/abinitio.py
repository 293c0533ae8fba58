"""Ab initio structures of the 70S benchmark from random starts: which starts are right, pose errors, CPU seconds.

Every start is a process of its own with one thread, the runs of `refine` of which this is the first half; the poses of
all particles are scored against the truth over both hands. CPU seconds are those of `abinitio` in a running process,
reading and the pass that poses all particles included. A start is right when more than half of the poses are within 10
degrees.
"""

import argparse
from pathlib import Path
from typing import Any

from benchmarks import sticks
from benchmarks.random_starts import CASES, has_run, random_start
from benchmarks.tables import markdown_table
from benchmarks.truth_scores import frame_of, pose_figures
from vitreous.particles import read_particles
from vitreous.structures import Poses

RIGHT = 0.5
TOLD = ("evidence", "settled", "abinitio_passes", "abinitio_cpu_s")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options."""
    parser.add_argument("--sticks", type=Path, default=sticks.DEFAULT, help="folder of make_data.py")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(sticks.REPORTED), help="of the data")
    parser.add_argument("--starts", type=int, nargs=len(CASES), default=[5, 2, 2], help="of every data set, by case")
    parser.add_argument("--done", action="store_true", help="only the starts that have been made already")


def measure(options: argparse.Namespace, work: Path) -> dict[str, Any]:
    """One row per data seed, SNR, number of particles and start."""
    rows = []
    for (snr, count), starts in zip(CASES, options.starts, strict=True):
        for seed in options.seeds:
            data = sticks.ribosomes(options.sticks, work, seed)
            truth = Poses.from_particles(read_particles(data / "truth.star")).take(slice(0, count))
            for start in range(starts):
                folder = work.parent / "random-starts" / f"{seed}_{snr}_{count}_{start}"
                if options.done and not has_run(folder):
                    continue
                run = random_start(data / f"particles_snr{snr}.star", count, start, folder)
                score = pose_figures(run.first, truth, frame_of(run.first, truth))
                told = {
                    name: run.figures[name] for name in ("evidence", "settled", "abinitio_passes", "abinitio_cpu_s")
                }
                rows.append({"seed": seed, "snr": snr, "particles": count, "start": start, **score, **told})
                print(rows[-1], flush=True)
    return {"rows": rows}


def table(figures: dict[str, Any]) -> str:
    """One line per data set."""
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in figures["rows"]:
        groups.setdefault((row["snr"], row["particles"], row["seed"]), []).append(row)

    def span(rows: list[dict[str, Any]], name: str, form: str, scale: float = 1.0) -> str:
        low, high = (format(scale * f(r[name] for r in rows), form) for f in (min, max))
        return low if low == high else f"{low} to {high}"

    lines = [
        (
            f"{snr:g}",
            f"{particles:,}",
            f"{seed}",
            f"{sum(r['within_10_deg'] > RIGHT for r in rows)} of {len(rows)}",
            span(rows, "median_deg", ".1f"),
            span(rows, "within_10_deg", ".0f", 100),
            span(rows, "evidence", ".1f"),
            span(rows, "abinitio_passes", "d", 1),
            span(rows, "abinitio_cpu_s", ".0f"),
        )
        for (snr, particles, seed), rows in groups.items()
    ]  # fmt: skip
    header = (
        *("SNR", "particles", "data seed", "starts that are right", "median pose error (deg)", "within 10 deg (%)"),
        *("evidence (nats per image)", "passes", "CPU s"),
    )
    return markdown_table(header, lines)
