"""The two real particle stacks beside the project, from the file to the report.

The pictures stay in ``bench-out/real/*/report.html``.
"""

import argparse
import os
from pathlib import Path
from typing import Any

from benchmarks import program
from benchmarks.record import REPOSITORY
from benchmarks.sticks import NotAvailable
from benchmarks.tables import markdown_table

DATA = Path(os.path.relpath(REPOSITORY.parent / "shared" / "data", REPOSITORY))
STACKS = {  # name -> file, diameter of the particle in A, classes
    "80S ribosome (EMPIAR-10028)": ("ribosome80S_empiar10028/ribo80S_80_5.36A.star", 340, 16),
    "apoferritin (EMPIAR-10146)": ("apoferritin_empiar10146/apo_particles_64_3.0A.star", 150, 25),
}


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options."""
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the real data")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--iterations", type=int, help="fewer passes than the default, for a quick look")


def measure(options: argparse.Namespace, work: Path) -> dict[str, Any]:
    """One row per stack."""
    rows = []
    for name, (file, diameter_A, classes) in STACKS.items():
        star = REPOSITORY / options.data / file
        if not star.is_file():
            raise NotAvailable(f"the real particles are not at {options.data / file}; give --data")
        folder = work / star.stem
        more = {} if options.iterations is None else {"iterations": options.iterations}
        cost = program.class2d(
            star, folder, threads=options.threads, classes=classes, particle_diameter_A=diameter_A, **more
        )
        figures = program.class_figures(folder)
        report = (folder / "report.html").relative_to(REPOSITORY)
        rows.append({"stack": name, "classes": classes, **figures, **cost.figures(), "report": str(report)})
        print(rows[-1], flush=True)
    return {"threads": options.threads, "rows": rows}


def table(figures: dict[str, Any]) -> str:
    """What came out, and where the pictures are once the command has run."""
    header = (
        "stack",
        "particles",
        "K",
        "resolved classes",
        "best (A)",
        "median (A)",
        "CPU s",
        "wall s",
        "peak MB",
        "report",
    )
    rows = [
        (r["stack"], f"{sum(r['populations']):,}", r["classes"], r["resolved_classes"], r["best_resolution_A"],
         r["median_resolution_A"], r["cpu_s"], r["wall_s"], r["peak_MB"], f"`{r['report']}`")
        for r in figures["rows"]
    ]  # fmt: skip
    text = (
        f"{figures['threads']} threads. Resolution: FRC 0.143 of the half-sets of a class; the pictures are in the "
        "report that the command writes."
    )
    return f"{text}\n\n{markdown_table(header, rows)}"
