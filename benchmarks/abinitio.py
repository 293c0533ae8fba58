"""Ab initio structures of the 70S benchmark from random starts: which starts are right, pose errors, CPU seconds.

Every start is a job of its own in a process of its own with one thread; its poses of all particles are scored against
the truth (``metrics.py pose``, the better hand). CPU seconds are those of the whole process, with imports, reading and
the pass that poses all particles.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from benchmarks.child import run_child
from benchmarks.record import REPOSITORY
from benchmarks.sticks import DEFAULT, make_data
from benchmarks.tables import markdown_table
from vitreous.jobs import read_manifest

RIGHT_DEG = 10.0  # median error of the poses: a grid of 7 degrees of the right structure stays below
CASES = (("0.1", "sub2000_snr0.1.star", 2000), ("0.02", "particles_snr0.02.star", 5000))


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options."""
    parser.add_argument("--sticks", type=Path, default=DEFAULT, help="folder of make_data.py and metrics.py")
    parser.add_argument("--data-seeds", type=int, nargs="+", default=[20240701, 20240702])
    parser.add_argument("--starts", type=int, nargs="+", default=[0, 1, 2, 3, 4], help="seeds of the starts")
    parser.add_argument("--snr", nargs="+", default=["0.1", "0.02"], choices=["0.1", "0.02"])


def measure(options: argparse.Namespace, work: Path) -> dict[str, Any]:
    """One row per data seed, SNR and start."""
    rows = []
    for data_seed in options.data_seeds:
        data = make_data(options.sticks, work / f"s{data_seed}", seed=data_seed)
        for snr, name, particles in CASES:
            for start in options.starts if snr in options.snr else ():
                folder = work / f"job_{data_seed}_{snr}_{start}"
                row = {"data_seed": data_seed, "snr": snr, "particles": particles, "start": start}
                rows.append({**row, **_one(options.sticks, data, data / name, folder, start)})
                print(rows[-1], flush=True)
    return {"rows": rows}


def _one(sticks: Path, data: Path, star: Path, folder: Path, seed: int) -> dict[str, Any]:
    """Run and score one start."""
    command: list[str | Path] = [sys.executable, "-m", "vitreous", "abinitio", star, "-o", folder, "--overwrite"]
    options = ["--starts", "1", "--seed", str(seed), "--threads", "1"]
    cost = run_child([*command, *options], Path(f"{folder}.log"), threads=1)
    score = _score(sticks, data, folder)
    manifest = read_manifest(folder)
    summary = {} if manifest is None else manifest.summary
    return {
        "median_deg": round(score["med_deg"], 2),
        "below_10_deg": round(score["frac_lt10"], 3),
        "right": score["med_deg"] < RIGHT_DEG,
        "finished": summary.get("finished"),
        "evidence": summary.get("held_out_evidence"),
        **cost.figures(),
    }


def _score(sticks: Path, data: Path, folder: Path) -> dict[str, Any]:
    out = Path(f"{folder}.json")
    command: list[str | Path] = [
        *(sys.executable, REPOSITORY / sticks / "metrics.py", "pose", "--data", folder / "abinitio_data.star"),
        *("--truth", data / "truth.star", "--vol", data / "vol_true_64.mrc", "--apix", "5", "--json", out),
    ]
    run_child(command, Path(f"{folder}.score.log"))
    found = json.loads(out.read_text())
    score: dict[str, Any] = found[found["best_hand"]]
    return score


def table(figures: dict[str, Any]) -> str:
    """One line per data seed and SNR."""
    groups: dict[tuple[int, str], list[dict[str, Any]]] = {}
    for row in figures["rows"]:
        groups.setdefault((row["data_seed"], row["snr"]), []).append(row)
    lines = []
    for (seed, snr), rows in groups.items():
        medians, cpu = sorted(r["median_deg"] for r in rows), sorted(r["cpu_s"] for r in rows)
        right = sum(r["right"] for r in rows)
        lines.append(
            [
                str(seed),
                snr,
                f"{rows[0]['particles']:,}",
                f"{right} of {len(rows)}",
                f"{medians[0]:.1f}-{medians[-1]:.1f}",
                f"{cpu[0]:.0f}-{cpu[-1]:.0f}",
            ]
        )
    head = ["data seed", "SNR", "particles", "starts that are right", "median pose error (deg)", "CPU s per start"]
    return markdown_table(head, lines)
