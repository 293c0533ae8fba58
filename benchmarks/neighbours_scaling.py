"""Cost of the search for neighbours against the number of particles: CPU seconds by stage, and peak memory.

Views and noise as for the neighbours, default settings, one thread.
"""

import argparse
from pathlib import Path
from typing import Any

from benchmarks.neighbour_methods import NEIGHBOURS, run_method, stages_of
from benchmarks.stages import STAGES_HEADER, stages_text
from benchmarks.tables import markdown_table
from benchmarks.views import add_view_options, cases


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options; the defaults are the ones of the published table."""
    add_view_options(parser)
    parser.set_defaults(seeds=[100], inverse_snr=[60])
    parser.add_argument("--particles", type=int, nargs="+", default=[1000, 10_000, 40_000])


def measure(options: argparse.Namespace, work: Path) -> dict[str, Any]:
    """One row per number of particles."""
    rows = []
    for particles in options.particles:
        for case in cases(options, work, particles):
            folder = work / f"{particles}-{case}"
            cost = run_method(NEIGHBOURS["vitreous"], options, case.star, folder, 10)
            rows.append({"particles": particles, **case.row(), **cost.figures(), "stages": stages_of(folder)})
            print(rows[-1], flush=True)
    return {"rows": rows}


def table(figures: dict[str, Any]) -> str:
    """All sizes."""
    header = ("particles", "SNR", "CPU s", "ms per particle", "wall s", "peak MB", STAGES_HEADER)
    rows = [
        (
            *(f"{r['particles']:,}", f"1/{r['inverse_snr']}", r["cpu_s"], round(1e3 * r["cpu_s"] / r["particles"], 2)),
            *(r["wall_s"], r["peak_MB"], stages_text([r["stages"]])),
        )
        for r in figures["rows"]
    ]
    return markdown_table(header, rows)
