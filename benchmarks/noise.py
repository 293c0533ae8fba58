"""Pure noise in: which resolution its classes claim, and what the report says."""

import argparse
from pathlib import Path
from typing import Any

from benchmarks import program
from benchmarks.tables import markdown_table

VERDICT = "Nothing was found"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options."""
    parser.add_argument("--particles", type=int, nargs="+", default=[600, 2000, 5000])
    parser.add_argument("--per-class", type=int, default=100, help="particles for every class")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2])


def measure(options: argparse.Namespace, work: Path) -> dict[str, Any]:
    """One row per number of images, colour of the noise, and seed."""
    rows = []
    for particles in options.particles:
        for colour in ("white", "coloured"):
            for seed in options.seeds:
                rows.append(_one(work, particles, max(2, particles // options.per_class), colour, seed))
                print(rows[-1], flush=True)
    return {"rows": rows}


def _one(work: Path, particles: int, classes: int, colour: str, seed: int) -> dict[str, Any]:
    name = f"{colour}-{particles}-{seed}"
    star = program.simulate(
        work / f"data-{name}", particles=particles, junk_fraction=1, junk_kinds="empty", noise=colour, seed=seed
    )
    folder = work / f"run-{name}"
    cost = program.class2d(star, folder, classes=classes, seed=seed)
    said = VERDICT in (folder / "report.html").read_text()
    what = {"particles": particles, "classes": classes, "noise": colour, "seed": seed, "said_nothing_found": said}
    return {**what, **program.class_figures(folder), **cost.figures()}


def table(figures: dict[str, Any]) -> str:
    """What was claimed and said."""
    header = ("images", "K", "noise", "seed", "classes with a resolution", "best (A)", f'report says "{VERDICT}"')
    rows = [
        (
            *(
                f"{r['particles']:,}",
                r["classes"],
                r["noise"],
                r["seed"],
                r["resolved_classes"],
                r["best_resolution_A"],
            ),
            "yes" if r["said_nothing_found"] else "no",
        )
        for r in figures["rows"]
    ]
    return f"Images of noise, 64 px, 5 A per pixel.\n\n{markdown_table(header, rows)}"
