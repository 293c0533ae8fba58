"""Pure noise in: which resolution its classes claim, and what the report says."""

import argparse
from pathlib import Path
from typing import Any

from benchmarks import program
from benchmarks.tables import markdown_table

VERDICT = "Nothing was found"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options."""
    parser.add_argument("--particles", type=int, default=5000)
    parser.add_argument("--classes", type=int, default=50)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])


def measure(options: argparse.Namespace, work: Path) -> dict[str, Any]:
    """One row per seed and colour of the noise."""
    rows = []
    for seed in options.seeds:
        for colour in ("white", "coloured"):
            name = f"{colour}-{options.particles}-{seed}"
            particles = program.simulate(
                work / f"data-{name}", particles=options.particles, junk_fraction=1, junk_kinds="empty",
                noise=colour, seed=seed,
            )  # fmt: skip
            folder = work / f"run-{name}"
            cost = program.class2d(particles, folder, classes=options.classes, seed=seed)
            figures = program.class_figures(folder)
            said = VERDICT in (folder / "report.html").read_text()
            rows.append({"noise": colour, "seed": seed, "said_nothing_found": said, **cost.figures(), **figures})
            print(rows[-1], flush=True)
    return {"particles": options.particles, "classes": options.classes, "rows": rows}


def table(figures: dict[str, Any]) -> str:
    """What was claimed and said."""
    header = ("noise", "seed", "classes with a resolution", "best (A)", "signal found", f'report says "{VERDICT}"')
    rows = [
        (
            *(r["noise"], r["seed"], r["resolved_classes"], r["best_resolution_A"]),
            *("yes" if r[f] else "no" for f in ("found_signal", "said_nothing_found")),
        )
        for r in figures["rows"]
    ]
    text = f"{figures['particles']:,} images of noise, 64 px, 5 A per pixel, K = {figures['classes']}."
    return f"{text}\n\n{markdown_table(header, rows)}"
