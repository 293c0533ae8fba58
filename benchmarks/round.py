"""From simulated micrographs to a refined map by one command, without a setting: `vitreous run micrographs.star`.

Micrographs of the 80S ribosome (1024 x 1024, 5 A per pixel, at two ratios of signal to noise) with ice blobs,
aggregates and fragments, made by `make_micrographs.py` of the scoring scripts. Picks are scored against the truth at a
quarter of the diameter; the map is compared with the one that the micrographs were made of, over both hands, without a
mask. CPU minutes are those of the whole command. The micrographs come with their CTF, unless it is to be estimated,
too.
"""

import argparse
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.record import REPOSITORY
from benchmarks.sticks import DEFAULT, NotAvailable, stick_module
from benchmarks.tables import markdown_table
from vitreous.jobs.manifest import read_manifest
from vitreous.jobs.options import RunOptions
from vitreous.jobs.results.reference import read_agreement
from vitreous.jobs.tasks.pipeline import run_pipeline
from vitreous.particles import read_volume, write_volume

MAP, MAP_A, DIAMETER_A, PIXEL_A, SIDE_PX = "ribosome80S_4ug0_simulated_80_4.0A.mrc", 4.0, 298.0, 5.0, 1024
JUNK = ("--particles", "100", "--blobs", "2", "--aggregates", "2", "--fragments", "4")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options of ``python -m benchmarks round``."""
    parser.add_argument("--sticks", type=Path, default=DEFAULT)
    parser.add_argument("--micrographs", type=int, default=40)
    parser.add_argument("--snr", type=float, nargs="+", default=[0.4, 0.1])
    parser.add_argument("--seed", type=int, default=601)
    parser.add_argument("--estimate-ctf", action="store_true", help="give the voltage alone, and no CTF")


def measure(options: argparse.Namespace, work: Path) -> dict[str, Any]:
    """Figures of one run for every ratio."""
    return {"runs": [{"snr": snr, **_measured(options, work / f"snr{snr:g}", snr)} for snr in options.snr]}


def _measured(options: argparse.Namespace, work: Path, snr: float) -> dict[str, Any]:
    torch.set_num_threads(1)
    work.mkdir(parents=True, exist_ok=True)
    score = stick_module(options.sticks, "picks_score")
    shared = REPOSITORY / options.sticks.parent / "data" / "maps" / MAP
    if not shared.is_file():
        raise NotAvailable(f"the map is not at {shared}")
    given = work / "micrographs"
    size = ("--size", str(SIDE_PX), "--angpix", f"{PIXEL_A:g}", "--n", str(options.micrographs), "--snr", f"{snr:g}")
    script = REPOSITORY / options.sticks / "make_micrographs.py"
    made = (sys.executable, script, given, "--map", shared, "--map-angpix", f"{MAP_A:g}", *size, *JUNK)
    subprocess.run([*made, "--seed", str(options.seed)], check=True, stdout=subprocess.DEVNULL)
    write_volume(work / "truth.mrc", read_volume(shared, pixel_size_A=MAP_A))
    source = given if options.estimate_ctf else given / "micrographs.star"
    optics = {"voltage_kV": 300.0} if options.estimate_ctf else {}
    start = time.process_time()
    run_pipeline(source, work / "out", None, RunOptions(overwrite=True), reference=work / "truth.mrc", **optics)
    minutes = (time.process_time() - start) / 60.0
    return {"cpu_min": round(minutes, 1), **_figures(work, score)}


def _figures(work: Path, score: Any) -> dict[str, Any]:
    said = _summary(work / "out")
    agreement = read_agreement(work / "out")
    found = {
        "micrographs": said["pick_micrographs"],
        "diameter_A": said["pick_first_diameter_A"],
        "templates": said["templates"],
        "boxes": said["extract_boxes"],
        "particles": said["selected_particles"],
        "claim_A": round(said.get("refine_resolution_A") or 0.0, 2),
        "fsc05_A": round(agreement[0].resolution_A, 2) if agreement else 0.0,
        "correlation": round(agreement[0].correlation, 3) if agreement else 0.0,
    }
    for name in ("pick_first", "pick"):
        found |= {f"{name}_{key}": value for key, value in _scored(work, name, score).items()}
    return found


def _summary(folder: Path) -> dict[str, Any]:
    manifest = read_manifest(folder)
    return {} if manifest is None else manifest.summary


def _scored(work: Path, stage: str, score: Any) -> dict[str, float]:
    """Precision and recall of the picks of a stage, half a diameter from the edge on."""
    truth = score.read_points(work / "micrographs" / "truth.star")
    picks = score.read_points(work / "out" / stage / "picks.star")
    stems = {
        part: np.array([Path(name).stem for name in points["mic"]]) for part, points in (("t", truth), ("p", picks))
    }
    edge, near, rows = 0.5 * DIAMETER_A / PIXEL_A, 0.25 * DIAMETER_A / PIXEL_A, []
    for stem in dict.fromkeys(stems["t"]):
        mine, true = stems["p"] == stem, truth["xy"][stems["t"] == stem]
        shape = (SIDE_PX, SIDE_PX)
        rows.append(score.score_one(picks["xy"][mine], picks["score"][mine], true, near, shape=shape, edge=edge))
    both = score.summary(rows)
    return {key: round(both[key], 3) for key in ("precision", "recall", "AP")}


def table(figures: dict[str, Any]) -> str:
    """Markdown."""
    rows = (
        ("SNR", "snr"),
        ("micrographs", "micrographs"),
        ("diameter guessed (A)", "diameter_A"),
        ("averages that are templates", "templates"),
        ("boxes", "boxes"),
        ("particles of the chosen classes", "particles"),
        ("resolution claimed (A)", "claim_A"),
        ("FSC 0.5 with the truth (A)", "fsc05_A"),
        ("correlation with the truth", "correlation"),
        *((f"picks of {name}: {key}", f"{stage}_{key}")
          for name, stage in (("a ball", "pick_first"), ("averages", "pick"))
          for key in ("precision", "recall", "AP")),
        ("CPU minutes", "cpu_min"),
    )  # fmt: skip
    runs = figures["runs"]
    head = ("figure", *(f"run {i + 1}" for i in range(len(runs))))
    return markdown_table(head, [(name, *(run[key] for run in runs)) for name, key in rows])
