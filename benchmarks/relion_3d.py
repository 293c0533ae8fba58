"""RELION's InitialModel and Refine3D beside abinitio and refine, on the same particles in the same run.

The peer is RELION's CPU program with the settings that its own interface gives for an initial model (stochastic
gradient descent) and for a refinement of two halves that never meet. Each of its two stages is stopped when its time
is up, and its last complete iteration is scored: what it has after so many seconds, and not what it can reach. The
initial model then starts the refinement, filtered to 40 A. Both programs are scored alike: poses in the one frame, of
either hand, that brings most of them to the truth; the map within the ball of 28 px of metrics.py. An unfinished
refinement of RELION is scored by the mean of its two half maps.

CPU seconds of RELION are those of the processes that work on the halves; a third one that hands out the work waits by
spinning, and is left out.
"""

import argparse
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import child, sticks
from benchmarks.child import run_child
from benchmarks.random_starts import random_start
from benchmarks.tables import markdown_table
from benchmarks.truth_scores import frame_of, fsc_figures, pose_figures
from vitreous.particles import Volume, read_particles, read_volume
from vitreous.structures import Poses

DIAMETER_A = 280
COMMON = ("--ctf", "--zero_mask", "--flatten_solvent", "--particle_diameter", DIAMETER_A, "--sym", "C1",
          "--oversampling", 1, "--j", 1, "--random_seed", 1, "--dont_check_norm", "--pool", 30)  # fmt: skip
INITIAL = ("--sgd", "--denovo_3dref", "--K", 1, "--sgd_ini_iter", 50, "--sgd_inbetween_iter", 200, "--sgd_fin_iter", 50,
           "--sgd_write_iter", 10, "--sgd_ini_resol", 35, "--sgd_fin_resol", 15, "--sgd_ini_subset", 100,
           "--sgd_fin_subset", 500, "--healpix_order", 1, "--offset_range", 6, "--offset_step", 2,
           "--pad", 1)  # fmt: skip
REFINE = ("--auto_refine", "--split_random_halves", "--ini_high", 40, "--firstiter_cc", "--healpix_order", 2,
          "--auto_local_healpix_order", 4, "--offset_range", 5, "--offset_step", 2, "--low_resol_join_halves", 40,
          "--pad", 2, "--norm", "--scale")  # fmt: skip


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options."""
    parser.add_argument("--sticks", type=Path, default=sticks.DEFAULT, help="folder of make_data.py")
    parser.add_argument("--seeds", type=int, nargs="+", default=[sticks.REPORTED[0]], help="of the data")
    parser.add_argument("--snr", type=float, default=0.1, choices=[0.1, 0.02])
    parser.add_argument("--particles", type=int, default=2000)
    parser.add_argument("--budget", type=float, default=1800.0, help="wall seconds for each of RELION's two stages")


def measure(options: argparse.Namespace, work: Path) -> dict[str, Any]:
    """For every data set the rows of both programs, after the first stage and at the end."""
    if any(shutil.which(name) is None for name in ("relion_refine", "relion_refine_mpi", "mpirun")):
        raise sticks.NotAvailable("relion_refine, relion_refine_mpi and mpirun are not all installed")
    rows = []
    for seed in options.seeds:
        data = sticks.ribosomes(options.sticks, work, seed)
        truth = Poses.from_particles(read_particles(data / "truth.star")).take(slice(0, options.particles))
        true_map = read_volume(data / "vol_true_64.mrc")
        for row in (*_ours(options, data, seed, work), *_relion(options, data, seed, work)):
            poses, volume = row.pop("poses"), row.pop("volume")
            frame = frame_of(poses, truth)
            fsc = {} if volume is None else fsc_figures(volume, true_map, frame)
            rows.append({"seed": seed, **row, **pose_figures(poses, truth, frame), **fsc})
            print(rows[-1], flush=True)
    return {"snr": options.snr, "particles": options.particles, "budget_s": options.budget, "rows": rows}


def _ours(options: argparse.Namespace, data: Path, seed: int, work: Path) -> list[dict[str, Any]]:
    name = f"{seed}_{options.snr}_{options.particles}_0"
    star = data / f"particles_snr{options.snr}.star"
    run = random_start(star, options.particles, 0, work.parent / "random-starts" / name)
    first = {"program": "abinitio", "cpu_s": run.figures["abinitio_cpu_s"], "poses": run.first, "volume": None}
    whole = {"program": "abinitio and refine", "cpu_s": run.figures["cpu_s"], "poses": run.refined}
    return [{**first, "ended": True}, {**whole, "volume": run.volume, "ended": True}]


def _relion(options: argparse.Namespace, data: Path, seed: int, work: Path) -> list[dict[str, Any]]:
    """InitialModel, and Refine3D from it."""
    folder = work / f"relion_{seed}_{options.snr}_{options.particles}"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    particles = read_particles(data / f"particles_snr{options.snr}.star")
    star = folder / "particles.star"
    particles.subset(np.arange(options.particles)).write(star)
    command = ("relion_refine", "--i", star.name, "--o", "./initial", *INITIAL, *COMMON)
    cost = run_child([str(c) for c in command], folder / "initial.log", cwd=folder, budget_s=options.budget)
    root = _last_iteration(folder, "initial")
    first = _found(root, [root.with_name(f"{root.name}_class001.mrc")])
    rows = [{"program": "RELION InitialModel", "cpu_s": round(cost.cpu_s), "ended": not cost.stopped, **first}]
    cpu_s, stopped = _refine3d(folder, star, first["start"], options.budget)
    root = _last_iteration(folder, "refine")
    halves = [root.with_name(f"{root.name}_half{h}_class001.mrc") for h in (1, 2)]
    if (folder / "refine_class001.mrc").is_file():  # it came to its end
        root, halves = folder / "refine", [folder / "refine_class001.mrc"]
    found = _found(root, halves)
    rows.append({"program": "and Refine3D", "cpu_s": round(cost.cpu_s + cpu_s), "ended": not stopped, **found})
    for row in rows:
        del row["start"]
    return rows


def _refine3d(folder: Path, star: Path, start: Path, budget_s: float) -> tuple[float, bool]:
    """CPU seconds of the two processes that work, and whether they were stopped."""
    command = ("relion_refine_mpi", "--i", star.name, "--o", "./refine", "--ref", start.name, *REFINE, *COMMON)
    words = " ".join(str(c) for c in command)
    measured = f"exec {sys.executable} -I -S {child.__file__} rank$OMPI_COMM_WORLD_RANK.json {budget_s} {words}"
    mpi = ("mpirun", "--allow-run-as-root", "--oversubscribe", "--mca", "mpi_yield_when_idle", "1", "-n", "3")
    with (folder / "refine.log").open("w") as log:  # one stopped rank ends them all, with an error
        subprocess.run([*mpi, "bash", "-c", measured], cwd=folder, stdout=log, stderr=log, check=False)
    costs = [json.loads((folder / f"rank{rank}.json").read_text()) for rank in (1, 2)]
    return sum(cost["cpu_s"] for cost in costs), any(cost["stopped"] for cost in costs)


def _last_iteration(folder: Path, name: str) -> Path:
    """Path without the ending of the last iteration that is complete."""
    done = [int(m[1]) for p in folder.iterdir() if (m := re.fullmatch(rf"{name}_it(\d+)_data\.star", p.name))]
    whole = [i for i in sorted(done) if list(folder.glob(f"{name}_it{i:03d}*class001.mrc"))]
    return folder / f"{name}_it{whole[-1]:03d}"


def _found(root: Path, maps: list[Path]) -> dict[str, Any]:
    """Poses in the order of the particles, and the mean of the maps."""
    particles = read_particles(root.with_name(f"{root.name}_data.star"))
    order = np.argsort([int(name.split("@")[0]) for name in particles.table["rlnImageName"]])
    volumes = [read_volume(path) for path in maps]
    mean = Volume(data=np.mean([np.asarray(v.data) for v in volumes], axis=0), pixel_size_A=volumes[0].pixel_size_A)
    done = re.search(r"_it(\d+)$", root.name)
    return {
        "poses": Poses.from_particles(particles.subset(order)),
        "volume": mean,
        "start": maps[0],
        "iterations": int(done[1]) if done else None,
    }


def _end(row: dict[str, Any]) -> str:
    if row["ended"]:
        return "yes"
    return f"stopped after iteration {row['iterations']}"


def table(figures: dict[str, Any]) -> str:
    """One line per program and stage."""
    header = (
        *("data", "program", "came to its end", "median error", "within 10°", "FSC 0.5 with truth, A", "0.143, A"),
        "CPU s",
    )
    rows = [
        (
            *(r["seed"], r["program"], _end(r), f"{r['median_deg']:.2f}°"),
            *(f"{r['within_10_deg']:.1%}", r.get("fsc_0.5_A"), r.get("fsc_0.143_A"), f"{r['cpu_s']:.0f}"),
        )
        for r in figures["rows"]
    ]
    text = (
        f"{figures['particles']:,} particles, SNR {figures['snr']:g}. RELION was given {figures['budget_s']:g} s for "
        "each stage."
    )
    return f"{text}\n\n{markdown_table(header, rows)}"
