"""Neighbours of simulated ribosomes against the truth, beside ASPIRE on the same files in the same run.

10,000 views of the 70S ribosome, 65 px of 2.82 A, unshifted, 20 defocus groups of 1 to 4 micrometres, white noise; ten
neighbours of every image. Counted are the pairs whose clean images correlate above 0.9 in the inscribed disc after the
best in-plane rotation, mirrored as reported. ASPIRE (``pip install aspire==0.14.3`` in an environment of its own) does
what its documentation shows: phase flip, steerable PCA, bispectrum, or images denoised by its CWF first.
"""

import argparse
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.neighbour_methods import NEIGHBOURS, add_peer_option, available, run_method, stages_of
from benchmarks.stages import STAGES_HEADER, stages_text
from benchmarks.tables import markdown_table
from benchmarks.view_scores import in_plane_errors, load_scorer, relative_errors, score_lists
from benchmarks.views import Views, add_view_options, cases

ONCE = ("vitreous, 1 run", "vitreous, 4 runs")  # with the first seeds only
QUICK = ("vitreous", "ASPIRE")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options; the defaults are the ones of the published table."""
    add_view_options(parser)
    add_peer_option(parser)
    parser.add_argument("--particles", type=int, default=10_000)
    parser.add_argument("--neighbours", type=int, default=10)
    parser.add_argument("--methods", nargs="+", choices=list(NEIGHBOURS), help="default: all; --quick: ours, ASPIRE")


def measure(options: argparse.Namespace, work: Path) -> dict[str, Any]:
    """One row per method, SNR and seeds."""
    methods = available(options, options.methods or list(QUICK if options.quick else NEIGHBOURS))
    rows = []
    for case in cases(options, work, options.particles):
        scorer = load_scorer(options.sticks, case.views)
        for name in [method for method in methods if case.first or method not in ONCE]:
            folder = work / f"{name.replace(', ', '-').replace(' ', '-')}-{case}"
            cost = run_method(NEIGHBOURS[name], options, case.star, folder, options.neighbours)
            found = score_folder(folder, case.views, scorer)
            rows.append({"program": name, **case.row(), **found, **cost.figures(), "stages": stages_of(folder)})
            print(rows[-1], flush=True)
    return {"particles": options.particles, "neighbours": options.neighbours, "rows": rows}


def score_folder(folder: Path, views: Views, scorer: Any) -> dict[str, Any]:
    """Figures of ``neighbours.npz``: its lists, and where it has them its angles and averages."""
    with np.load(folder / "neighbours.npz") as found:
        lists = found["neighbours"], found["mirrored"]
        figures = score_lists(scorer, *lists)
        if "psi_deg" in found:
            figures |= in_plane_errors(views.rotations, *lists, found["psi_deg"])
        if "averages" in found and found["averages"].shape[1:] == views.clean.shape[1:]:
            errors = relative_errors(found["averages"], views.clean[found["average_of"]])
            figures |= {f"averages_{name}": errors[name] for name in ("fitted", "fitted_mean_removed", "scale")}
    return figures


def table(figures: dict[str, Any]) -> str:
    """What was found by whom and at what cost, then where the time went."""
    groups = defaultdict(list)
    for row in figures["rows"]:
        groups[row["inverse_snr"], row["program"]].append(row)
    order = sorted(groups, key=lambda key: key[0])
    header = (
        *("program", "SNR", "seeds", "pairs > 0.9", "> 0.95", "views within 10 deg (%)", "view median (deg)"),
        *("in-plane median (deg)", "90 % (deg)", "error of averages", "CPU s", "peak MB"),
    )
    rows = [_row(program, inverse_snr, groups[inverse_snr, program]) for inverse_snr, program in order]
    stages = [
        (program, f"1/{inverse_snr}", stages_text([row["stages"] for row in groups[inverse_snr, program]]))
        for inverse_snr, program in order
    ]
    pairs = figures["particles"] * figures["neighbours"]
    text = (
        f"{pairs:,} pairs of {figures['particles']:,} images, one thread. Where there are several seeds of the noise, "
        "figures are means, with the lowest and highest count. In-plane errors are those of pairs within 10 degrees; "
        "the error of averages (of an image and its neighbours, 100 images that differ) is |average - clean| / |clean| "
        "after one scale for all."
    )
    spent = markdown_table(("program", "SNR", STAGES_HEADER), stages)
    return f"{text}\n\n{markdown_table(header, rows)}\n\n{spent}"


def _row(program: str, inverse_snr: int, rows: list[dict[str, Any]]) -> list[Any]:
    counts = [row["above_0.9"] for row in rows]
    count = f"{np.mean(counts):,.0f}" + (f" ({min(counts):,} to {max(counts):,})" if len(counts) > 1 else "")
    return [
        *(program, f"1/{inverse_snr}", len(rows), count, f"{_mean(rows, 'above_0.95'):,.0f}"),
        *(round(100 * _mean(rows, "within_10_deg"), 1), round(_mean(rows, "view_median_deg"), 1)),
        *(_mean(rows, "in_plane_median_deg", 2), _mean(rows, "in_plane_90_deg", 1), _mean(rows, "averages_fitted", 3)),
        *(_mean(rows, "cpu_s", 1), max(row["peak_MB"] for row in rows)),
    ]


def _mean(rows: list[dict[str, Any]], name: str, digits: int | None = None) -> Any:
    """Of a figure over rows, None where one lacks it."""
    if any(name not in row for row in rows):
        return None
    value = float(np.mean([row[name] for row in rows]))
    return value if digits is None else round(value, digits)
