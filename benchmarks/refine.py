"""From a random start to a refined map, against the truth; and what the half maps claim.

The 70S benchmark (64 px, 5 A/px). Every start is a process of its own with one thread: `abinitio` with one random
start, then `refine` from its poses. Poses are compared after the one rotation, over both hands, that brings most of
them together; the map, weighted by the signal-to-noise ratio of its halves, in the same frame and within the ball of 28
px of metrics.py. *Claimed* is what the half maps say (FSC 0.143, masked, corrected). *Errors over sigma* is the robust
standard deviation of true errors of in-plane angles and directions over what was said of them: 1 where what is said is
true. CPU seconds are those of the whole process, start of Python included; files and report are not written.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import sticks
from benchmarks.random_starts import CASES, Run, has_run, random_start
from benchmarks.tables import markdown_table
from benchmarks.truth_scores import frame_of, fsc_figures, pose_figures, rotation_errors
from vitreous.particles import Volume, read_particles, read_volume
from vitreous.structures import Poses

NEAR_DEG = 10.0
BARS = {  # of the issue: median error in degrees, share within 10 degrees, FSC 0.5 in Angstrom, CPU seconds
    (0.1, 2000): (1.2, 0.0, 17.0, 40),
    (0.1, 5000): (1.1, 0.0, 16.0, 70),
    (0.02, 5000): (2.5, 0.93, 21.5, 200),
}


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options."""
    parser.add_argument("--sticks", type=Path, default=sticks.DEFAULT, help="folder of make_data.py")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(sticks.REPORTED), help="of the data")
    parser.add_argument("--starts", type=int, nargs=len(CASES), default=[5, 2, 2], help="of every data set, by case")
    parser.add_argument("--done", action="store_true", help="only the starts that have been made already")


def measure(options: argparse.Namespace, work: Path) -> dict[str, Any]:
    """One row per SNR, number of particles, data set and random start."""
    rows = []
    for (snr, count), starts in zip(CASES, options.starts, strict=True):
        for seed in options.seeds:
            data = sticks.ribosomes(options.sticks, work, seed)
            truth = Poses.from_particles(read_particles(data / "truth.star")).take(slice(0, count))
            true_map = read_volume(data / "vol_true_64.mrc")
            for start in range(starts):
                folder = work.parent / "random-starts" / f"{seed}_{snr}_{count}_{start}"
                if options.done and not has_run(folder):
                    continue
                run = random_start(data / f"particles_snr{snr}.star", count, start, folder)
                row = {"seed": seed, "snr": snr, "particles": count, "start": start, **_scores(run, truth, true_map)}
                rows.append(row)
                print(row, flush=True)
    return {"rows": rows}


def _scores(run: Run, truth: Poses, true_map: Volume) -> dict[str, Any]:
    frame = frame_of(run.refined, truth)
    error = np.rad2deg(rotation_errors(run.refined, truth, frame))
    near = np.linalg.norm(error, axis=1) < NEAR_DEG
    over = 1.4826 * float(np.median(np.abs(error / run.sigma_deg)[near]))
    return {
        **pose_figures(run.refined, truth, frame),
        "errors_over_sigma": round(over, 3),
        **fsc_figures(run.volume, true_map, frame),
        **run.figures,
    }


def table(figures: dict[str, Any]) -> str:
    """A line per case of how many starts reach the bars, and one per run."""
    header = (
        *("SNR", "particles", "data", "start", "median error", "within 10°", "origin, A", "errors over sigma"),
        *("FSC 0.5 with truth, A", "0.143, A", "claimed, A", "CPU s", "of it ab initio", "refine", "peak MB"),
    )
    rows = [
        (
            *(f"{r['snr']:g}", f"{r['particles']:,}", f"{r['seed']}", f"{r['start']}", f"{r['median_deg']:.2f}°"),
            *(f"{r['within_10_deg']:.1%}", f"{r['origin_A']:.2f}", f"{r['errors_over_sigma']:.2f}"),
            *(_number(r["fsc_0.5_A"]), _number(r["fsc_0.143_A"]), _number(r["claimed_A"]), f"{r['cpu_s']:.0f}"),
            *(f"{r['abinitio_cpu_s']:.0f}", f"{r['refine_cpu_s']:.0f}", f"{r['peak_MB']:.0f}"),
        )
        for r in figures["rows"]
    ]
    return f"{_reached(figures['rows'])}\n\n{markdown_table(header, rows)}"


def _reached(rows: list[dict[str, Any]]) -> str:
    """How many runs reach what is asked for."""
    lines = []
    for case, (degrees, share, angstrom, seconds) in BARS.items():
        runs = [r for r in rows if (r["snr"], r["particles"]) == case]
        if not runs:
            continue
        lines.append(
            (
                *(f"{case[0]:g}", f"{case[1]:,}", len(runs)),
                f"{sum(r['median_deg'] <= degrees for r in runs)} (<= {degrees:g}°)",
                f"{sum(r['within_10_deg'] >= share for r in runs)} (>= {share:.0%})" if share else None,
                f"{sum((r['fsc_0.5_A'] or 999) <= angstrom for r in runs)} (<= {angstrom:g} A)",
                f"{sum(r['cpu_s'] <= seconds for r in runs)} (<= {seconds} s)",
                f"{sum((r['claimed_A'] or 999) >= (r['fsc_0.5_A'] or 0) for r in runs)}",
            )
        )
    header = ("SNR", "particles", "runs", "with the median error asked for", "share within 10°", "FSC 0.5", "CPU s")
    return markdown_table((*header, "claim no finer than FSC 0.5 with truth"), lines)


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.1f}"
