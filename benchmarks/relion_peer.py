"""RELION's EM on the same file in the same run as ours, for as many iterations as fit a time budget.

The peer is ``relion_refine`` (Debian's 3.1.3: expectation maximisation, one process, CPU) with RELION's usual settings
for 2D classes. It is stopped when its time is up, and its last complete iteration is scored.
"""

import argparse
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

from benchmarks import sticks
from benchmarks.child import run_child
from benchmarks.class2d_quality import FIGURES, one_run
from benchmarks.tables import markdown_table

HEADER = (
    *("program", "SNR", "iterations", "spread (deg)", "mirrors folded", "median (deg)", "cc", "FRC 0.5 mean (A)"),
    *("FRC 0.5 median (A)", "in-plane median (deg)", "CPU s", "wall s", "peak MB"),
)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options."""
    parser.add_argument("--sticks", type=Path, default=sticks.DEFAULT, help="folder of make_data.py and metrics.py")
    parser.add_argument("--seed", type=int, default=20240501, help="of the data")
    parser.add_argument("--snr", type=float, nargs="+", default=[0.1], choices=[0.1, 0.02])
    parser.add_argument("--budget", type=float, default=600.0, help="seconds for the peer, per data set")
    parser.add_argument("--iterations", type=int, default=25, help="most iterations of the peer")
    parser.add_argument("--particles", type=int, default=5000)
    parser.add_argument("--classes", type=int, default=50)


def measure(options: argparse.Namespace, work: Path) -> dict[str, Any]:
    """Ours and RELION's row for every SNR."""
    refine = shutil.which("relion_refine")
    if refine is None:
        raise sticks.NotAvailable("relion_refine is not installed")
    data = sticks.make_data(
        options.sticks,
        work / f"data-{options.seed}-{options.particles}",
        seed=options.seed,
        particles=options.particles,
    )
    rows = []
    for snr in options.snr:
        ours = one_run(options.sticks, data, work / f"ours-{snr}", snr=snr, threads=1, classes=options.classes)
        rows.append({"program": "vitreous", **ours})
        rows.append(
            {"program": f"RELION {_version(refine)} EM", **_peer(refine, options, data, work / f"relion-{snr}", snr)}
        )
        print(*rows[-2:], sep="\n", flush=True)
    return {"particles": options.particles, "classes": options.classes, "budget_s": options.budget, "rows": rows}


def _peer(refine: str, options: argparse.Namespace, data: Path, folder: Path, snr: float) -> dict[str, Any]:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    command = (
        *(refine, "--i", f"particles_snr{snr}.star", "--o", folder.resolve() / "run"),
        *("--K", options.classes, "--iter", options.iterations, "--tau2_fudge", 2, "--particle_diameter", 280),
        *("--ctf", "--zero_mask", "--flatten_solvent", "--norm", "--scale", "--oversampling", 1, "--psi_step", 12),
        *("--offset_range", 5, "--offset_step", 2, "--pad", 2, "--random_seed", 1, "--j", 1),
    )
    cost = run_child([str(c) for c in command], folder / "run.log", cwd=data, threads=1, budget_s=options.budget)
    done = sorted(int(m[1]) for p in folder.iterdir() if (m := re.fullmatch(r"run_it(\d+)_optimiser\.star", p.name)))
    row = {"snr": snr, "iterations": max(done, default=0), **cost.figures(), "stopped": cost.stopped}
    if row["iterations"] == 0:
        return row
    root = folder / f"run_it{row['iterations']:03d}"
    star, classes = root.with_name(f"{root.name}_data.star"), root.with_name(f"{root.name}_classes.mrcs")
    # The time of the iterations that were completed; the process runs on one core, so wall time is CPU time.
    started = (folder / "run_it000_optimiser.star").stat().st_mtime
    last = (folder / f"{root.name}_optimiser.star").stat().st_mtime
    return {
        **row,
        **sticks.score_class2d(options.sticks, data, star, classes),
        "iterations_s": round(last - started, 1),
    }


def _version(refine: str) -> str:
    text = subprocess.run([refine, "--version"], capture_output=True, text=True, check=False).stdout
    found = re.search(r"version:\s*([\w.]+)", text)
    return found[1] if found else "unknown"


def table(figures: dict[str, Any]) -> str:
    """Both programs, one above the other."""
    rows = [
        (r["program"], r["snr"], r["iterations"], *(r.get(f) for f in FIGURES), r["cpu_s"], r["wall_s"], r["peak_MB"])
        for r in figures["rows"]
    ]
    text = (
        f"{figures['particles']:,} particles, K = {figures['classes']}, one thread; RELION was given "
        f"{figures['budget_s']:g} s and is scored at the last iteration that it completed."
    )
    return f"{text}\n\n{markdown_table(HEADER, rows)}"
