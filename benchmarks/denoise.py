"""Denoised images of simulated ribosomes against the clean ones, beside ASPIRE's CWF on the same files.

The data are those of the neighbours. The error is |denoised - clean| / |clean| over all pixels of all images, up to the
sign of a program's CTF. Mean removed: over |clean - mean clean image|, which is what a constant guess would leave.
"One scale fitted": the error after one scale for all images, fitted to the truth; nothing else is fitted.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.neighbour_methods import DENOISE, add_peer_option, available, run_method, stages_of
from benchmarks.stages import STAGES_HEADER, stages_text
from benchmarks.tables import markdown_table
from benchmarks.view_scores import relative_errors
from benchmarks.views import add_view_options, cases


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options; the defaults are the ones of the published table."""
    add_view_options(parser)
    add_peer_option(parser)
    parser.add_argument("--particles", type=int, default=10_000)


def measure(options: argparse.Namespace, work: Path) -> dict[str, Any]:
    """One row per method, SNR and seeds."""
    methods = available(options, list(DENOISE))
    rows = []
    for case in cases(options, work, options.particles):
        for name in methods:
            folder = work / f"{name}-{case}"
            cost = run_method(DENOISE[name], options, case.star, folder, 0)
            errors = relative_errors(np.load(folder / "denoised.npy", mmap_mode="r"), case.views.clean)
            rows.append({"program": name, **case.row(), **errors, **cost.figures(), "stages": stages_of(folder)})
            print(rows[-1], flush=True)
            (folder / "denoised.npy").unlink()
    return {"particles": options.particles, "rows": rows}


def table(figures: dict[str, Any]) -> str:
    """Every run."""
    header = ("program", "SNR", "seeds", "error", "mean removed", "one scale fitted", "CPU s", "peak MB", STAGES_HEADER)
    rows = [
        (
            *(r["program"], f"1/{r['inverse_snr']}", f"{r['data_seed']}, {r['seed']}"),
            *(r["error"], r["mean_removed"], r["fitted"], r["cpu_s"], r["peak_MB"], stages_text([r["stages"]])),
        )
        for r in sorted(figures["rows"], key=lambda r: (r["inverse_snr"], r["program"] != "vitreous"))
    ]
    text = f"{figures['particles']:,} images, one thread; seeds: of the views, of the noise."
    return f"{text}\n\n{markdown_table(header, rows)}"
