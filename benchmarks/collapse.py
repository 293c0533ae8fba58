"""How many classes stay alive: those with more than 0.1 / K of the particles, at very low SNR, over many seeds."""

import argparse
from pathlib import Path
from typing import Any

from benchmarks import program
from benchmarks.tables import markdown_table


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options."""
    parser.add_argument("--particles", type=int, default=5000)
    parser.add_argument("--classes", type=int, default=50)
    parser.add_argument("--snr", type=float, nargs="+", default=[0.02, 0.005])
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(1, 11)), help="of data and classification")


def measure(options: argparse.Namespace, work: Path) -> dict[str, Any]:
    """One row per SNR and seed."""
    rows = []
    for snr in options.snr:
        for seed in options.seeds:
            name = f"{snr:g}-{options.particles}-{seed}"
            particles = program.simulate(work / f"data-{name}", particles=options.particles, snr=snr, seed=seed)
            cost = program.class2d(particles, work / f"run-{name}", classes=options.classes, seed=seed)
            populations = program.class_figures(work / f"run-{name}")["populations"]
            alive = sum(p > 0.1 * options.particles / options.classes for p in populations)
            rows.append({"snr": snr, "seed": seed, "alive": alive, "largest": max(populations), **cost.figures()})
            print(rows[-1], flush=True)
    return {"particles": options.particles, "classes": options.classes, "rows": rows}


def table(figures: dict[str, Any]) -> str:
    """Fewest, median and most classes alive over the seeds."""
    rows = []
    for snr in dict.fromkeys(r["snr"] for r in figures["rows"]):
        mine = [r for r in figures["rows"] if r["snr"] == snr]
        alive = sorted(r["alive"] for r in mine)
        share = max(r["largest"] for r in mine) / figures["particles"]
        rows.append((snr, len(mine), alive[0], alive[len(alive) // 2], alive[-1], f"{100 * share:.1f} %"))
    header = ("SNR", "seeds", "fewest alive", "median", "most", "largest class of all")
    text = (
        f"{figures['particles']:,} particles of the ribosome-like phantom, 64 px, 5 A per pixel, K = "
        f"{figures['classes']}; a class is alive with more than 0.1 / K of the particles."
    )
    return f"{text}\n\n{markdown_table(header, rows)}"
