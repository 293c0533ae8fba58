"""2D classes by template matching (`class2d --choice best`) against soft classes: views, resolution, CPU time."""

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks import sticks
from benchmarks.mra_collapse import viewing_directions
from benchmarks.tables import markdown_table
from vitreous.averages.class2d import Class2D, class2d
from vitreous.particles import read_particles
from vitreous.quality.class_truth import pair_angle_deg

CHOICES = ("soft", "best")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options; the defaults are the ones of the published table."""
    parser.add_argument("--sticks", type=Path, default=sticks.DEFAULT, help="folder of make_data.py and metrics.py")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(sticks.REPORTED[:2]), help="of the data")
    parser.add_argument("--snr", type=float, nargs="+", default=[0.1, 0.02], choices=[0.1, 0.02])
    parser.add_argument("--particles", type=int, default=2000, help="the first so many of the data")
    parser.add_argument("--classes", type=int, default=20)


def measure(options: argparse.Namespace, work: Path) -> dict[str, Any]:
    """One row per seed, SNR and choice."""
    torch.set_num_threads(1)
    rows = []
    for seed in options.seeds:
        data = sticks.ribosomes(options.sticks, work, seed)
        views = torch.from_numpy(viewing_directions(data, options.particles))
        for snr in options.snr:
            every = read_particles(data / f"particles_snr{snr}.star")
            particles = every.subset(np.arange(len(every)) < options.particles)
            for choice in CHOICES:
                start = time.process_time()
                found = class2d(particles, Class2D(classes=options.classes, choice=choice))  # type: ignore[arg-type]
                rows.append({
                    "seed": seed, "snr": snr, "choice": choice,
                    "pair_deg": round(pair_angle_deg(views, found.class_number - 1), 2),
                    "resolution_A": round(float(np.median(found.resolution_A)), 1),
                    "largest": round(float(found.population.max() / found.population.sum()), 4),
                    "cpu_s": round(time.process_time() - start, 1),
                })  # fmt: skip
                print(rows[-1], flush=True)
    return {"particles": options.particles, "classes": options.classes, "rows": rows}


def table(figures: dict[str, Any]) -> str:
    """One row per seed, SNR and choice."""
    rows = [
        (r["snr"], r["seed"], r["choice"], r["pair_deg"], r["resolution_A"], f"{100 * r['largest']:.1f} %", r["cpu_s"])
        for r in sorted(figures["rows"], key=lambda r: (-r["snr"], r["seed"], -CHOICES.index(r["choice"])))
    ]
    header = ("SNR", "seed", "choice", "spread (deg)", "median resolution (A)", "largest class", "CPU s")
    text = (
        f"{figures['particles']:,} particles of the 70S ribosome, 64 px, K = {figures['classes']}. Spread: mean angle "
        "between viewing directions in a class; the resolution is that of the class in the middle."
    )
    return f"{text}\n\n{markdown_table(header, rows)}"
