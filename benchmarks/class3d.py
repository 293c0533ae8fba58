"""Two conformations mixed: is every particle in the class of its conformation, and what does it cost?

Particles are projections of the 70S ribosome with and without EF-Tu (two atomic models at 15 A, 64 px of 5 A, CTF,
SNR 0.1, `mixed.py`), 50:50 and 90:10. *true*: `class3d` with the true poses. *reference*: `class3d` of particles
without poses and a map of the first conformation at 40 A, as a user would: poses are found in it and refined in one
map, then classes are made. *RELION*: Class3D without alignment, true poses, from the map of all particles in these
poses at 60 A, for as many iterations as fit the budget. The index is the adjusted Rand index of classes against
conformations. *Ceiling*: that of the more likely of the two true maps at the true poses, which no method can do better
than.

The second table has one, two and three states at the true poses, the third made of the second by turning the small
subunit by 8 degrees, and as many classes as are asked for; states in equal shares. FSC = 0.5 is over the whole box,
without a mask.
"""

import argparse
import gzip
import json
import os
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from benchmarks import sticks
from benchmarks.child import Cost, run_child
from benchmarks.record import REPOSITORY
from benchmarks.tables import markdown_table
from vitreous.matching import preparation_for, prepare_particles
from vitreous.particles import Volume, judged, read_particles, read_volume, write_volume
from vitreous.quality import resolution_at, shell_correlation
from vitreous.simulate import Atoms, gaussian_density, read_atoms
from vitreous.structures import Poses
from vitreous.structures.class3d import Class3D
from vitreous.structures.class3d.agreement import adjusted_rand_index
from vitreous.structures.refine.images import point_images, window_A
from vitreous.volumes import RingPoints, prepared, resample

MODELS = Path(os.path.relpath(REPOSITORY.parent / "shared" / "data" / "models", REPOSITORY))
NAMES = ("ribosome70S_eftu_trna", "ribosome70S_variant0")
TURNED_DEG = 8.0  # of the small subunit of the third state against that of the second
MORE = {  # shares of the states, number of classes that is asked for, starts
    "three states": ((1.0, 1.0, 1.0), 3, 2),
    "two states, three classes": ((1.0, 1.0, 0.0), 3, 1),
    "one state, two classes": ((1.0, 0.0, 0.0), 2, 1),
}
BOX, PIXEL_A, SIGMA_A = 64, 5.0, 15.0 / (np.pi * np.sqrt(2.0))
BARS = {0.5: (0.8, 0.95), 0.9: (0.6, 0.85)}  # share of the first conformation: bar and aim of the issue


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options; the data seeds are ones that nothing was tuned on (11 is the tuning seed)."""
    parser.add_argument("--sticks", type=Path, default=sticks.DEFAULT, help="folder of mixed.py")
    parser.add_argument("--models", type=Path, default=MODELS, help="folder of the atomic models")
    parser.add_argument("--seeds", type=int, nargs="+", default=[12, 13], help="of the data")
    parser.add_argument("--shares", type=float, nargs="+", default=list(BARS), help="of the first conformation")
    parser.add_argument("--particles", type=int, default=3000)
    parser.add_argument("--ways", nargs="+", default=list(WAYS), choices=list(WAYS))
    parser.add_argument("--more", nargs="*", default=list(MORE), choices=list(MORE), help="other numbers of states")
    parser.add_argument("--more-seeds", type=int, nargs="+", default=[15, 16], help="of their data")
    parser.add_argument("--more-particles", type=int, default=2000)
    parser.add_argument("--done", action="store_true", help="only the runs that have been made already")
    parser.add_argument("--budget", type=float, default=600.0, help="seconds for RELION, per data set")


def measure(options: argparse.Namespace, work: Path) -> dict[str, Any]:
    """A row per way and data set. Runs that are there already are not made again."""
    work.mkdir(parents=True, exist_ok=True)
    maps = _maps(options, work)
    rows = []
    for way in options.ways:
        for share in options.shares:
            for seed in options.seeds:
                data = _data(options, work, maps, (share, 1 - share), seed, options.particles)
                figures = WAYS[way](options, data, maps)
                if figures is not None:
                    rows.append({"share": share, "seed": seed, "way": way, **figures})
                    print(rows[-1], flush=True)
    more = _more(options, work, maps)
    return {"particles": options.particles, "rows": rows, "more_particles": options.more_particles, "more": more}


def _more(options: argparse.Namespace, work: Path, maps: tuple[Path, ...]) -> list[dict[str, Any]]:
    """One, two and three states at the true poses, with as many classes as are asked for."""
    rows = []
    for name in options.more:
        shares, classes, starts = MORE[name]
        for seed in options.more_seeds:
            data = _data(options, work, maps, shares, seed, options.more_particles)
            figures = _ours(options, data, "truth.star", "--classes", str(classes), "--starts", str(starts))
            if figures is not None:
                rows.append(
                    {"states": name, "seed": seed, "starts": starts, **figures, **_said(data / "class3d_truth", maps)}
                )
                print(rows[-1], flush=True)
    return rows


def _said(out: Path, maps: tuple[Path, ...]) -> dict[str, Any]:
    """What the job says; claimed resolution of every class, and FSC = 0.5 with the state that it is nearest to."""
    job = json.loads((out / "job.json").read_text())
    truths = [torch.from_numpy(read_volume(path).data) for path in maps]
    claimed, true = job["summary"]["class_resolution_A"], []
    for k in range(len(claimed)):
        volume = torch.from_numpy(read_volume(out / f"run_class{k + 1:03d}.mrc").data)
        nearest = max(truths, key=lambda truth: float(torch.corrcoef(torch.stack([volume, truth]).flatten(1))[0, 1]))
        true.append(round(float(resolution_at(shell_correlation(volume, nearest), 0.5, BOX, PIXEL_A)), 2))
    keep = ("found_classes", "class_particles", "evidence", "halves_agreement")
    said = [message.split(":")[0] for message in job["messages"]]
    return {name: job["summary"][name] for name in keep} | {"claimed_A": claimed, "true_A": true, "said": said}


def table(figures: dict[str, Any]) -> str:
    """A line per data set and way."""
    header = ("first conformation", "data", "way", "iterations", "adjusted Rand index", "bar, aim", "CPU s", "peak MB")
    rows = [
        (
            *(f"{r['share']:.0%}", f"{r['seed']}", r["way"], f"{r.get('iterations', '')}", f"{r['ari']:.3f}"),
            *("{}, {}".format(*BARS.get(r["share"], ("", ""))), f"{r.get('cpu_s', '')}", f"{r.get('peak_MB', '')}"),
        )
        for r in figures["rows"]
    ]
    text = f"{figures['particles']:,} particles, one thread.\n\n{markdown_table(header, rows)}"
    return f"{text}\n\n{_more_table(figures)}" if figures.get("more") else text


def _more_table(figures: dict[str, Any]) -> str:
    header = ("states and classes", "data", "starts", "adjusted Rand index", "evidence (nats)", "halves agree",
              "particles", "claimed (A)", "FSC 0.5 with the truth (A)", "CPU s", "said")  # fmt: skip
    rows = [
        (r["states"], r["seed"], r["starts"], f"{r['ari']:.3f}", f"{r['evidence']:.2f}", f"{r['halves_agreement']:.2f}",
         *(", ".join(map(str, r[name])) for name in ("class_particles", "claimed_A", "true_A")), f"{r['cpu_s']}",
         "; ".join(r["said"]) or "classes")
        for r in figures["more"]
    ]  # fmt: skip
    return f"{figures['more_particles']:,} particles at their true poses.\n\n{markdown_table(header, rows)}"


def _maps(options: argparse.Namespace, work: Path) -> tuple[Path, ...]:
    """All states in the frame of the models, about the centre of the first, in one scale."""
    files = [REPOSITORY / options.models / f"{name}.pdb.gz" for name in NAMES]
    if not all(file.is_file() for file in files):
        raise sticks.NotAvailable(f"{files[0].name} or {files[1].name} is not there; give --models")
    paths = tuple(work / f"{name}.mrc" for name in ("first", "second", "third"))
    if all(path.is_file() for path in paths):
        return paths
    atoms = [*(read_atoms(file) for file in files), _turned(files[1], work)]
    centre = np.average(atoms[0].positions_A, axis=0, weights=atoms[0].weights)
    density = [gaussian_density(a.positions_A - centre, a.weights, SIGMA_A, BOX, PIXEL_A).numpy() for a in atoms]
    top = max(float(one.max()) for one in density)
    for path, one in zip(paths, density, strict=True):
        write_volume(path, Volume(data=(one / top).astype(np.float32), pixel_size_A=PIXEL_A))
    return paths


def _turned(file: Path, work: Path) -> Atoms:
    """The second state with its small subunit turned about the axis through the centres of both subunits."""
    parts = []
    for text in gzip.decompress(file.read_bytes()).decode().split("HEADER")[1:]:
        path = work / "part.pdb"
        path.write_text(f"HEADER{text}")
        parts.append(read_atoms(path))
    large, small = sorted(range(len(parts)), key=lambda i: -len(parts[i].weights))[:2]
    ends = [np.average(parts[i].positions_A, axis=0, weights=parts[i].weights) for i in (small, large)]
    axis = (ends[1] - ends[0]) / np.linalg.norm(ends[1] - ends[0])
    turn = Rotation.from_rotvec(TURNED_DEG * axis, degrees=True)
    positions = [part.positions_A for part in parts]
    positions[small] = turn.apply(positions[small] - ends[0]) + ends[0]
    return Atoms(positions_A=np.concatenate(positions), weights=np.concatenate([part.weights for part in parts]))


def _data(
    options: argparse.Namespace, work: Path, maps: tuple[Path, ...], shares: tuple[float, ...], seed: int, count: int
) -> Path:  # fmt: skip
    name = "_".join(f"{share:g}" for share in shares) if len(shares) > 2 else f"{shares[0]:g}"
    folder, script = work / f"{name}_{seed}_{count}", REPOSITORY / options.sticks / "mixed.py"
    if not script.is_file():
        raise sticks.NotAvailable(f"the scoring scripts are not at {options.sticks} (mixed.py); give --sticks")
    if not (folder / "truth.star").is_file():
        folder.mkdir(parents=True, exist_ok=True)
        words = ("--shares", *map(str, shares), "--junk", "0", "--snr", "0.1", "--seed", str(seed))
        command = [sys.executable, script, "make", folder, "--maps", *maps[: len(shares)], "--n", str(count), *words]
        run_child(command, folder / "make.log")
    return folder


def _ours(options: argparse.Namespace, data: Path, star: str, *more: str | Path) -> dict[str, Any] | None:
    out = data / f"class3d_{Path(star).stem}"
    words = [sys.executable, "-m", "vitreous", "class3d", data / star, *more, "-o", out, "--threads", "1"]
    cost = _cost(options, [*words, "--overwrite"], out)
    if cost is None:
        return None
    return {**cost, "ari": sticks.score_accepted(options.sticks, data, out / "run_data.star")["ari"]}


def _cost(
    options: argparse.Namespace, command: list[str | Path], out: Path, budget_s: float = 0.0
) -> dict[str, float] | None:
    """Of a program that writes into the folder ``out``, in this run or an earlier one; None: not to be made."""
    log = out.parent / f"{out.name}.log"
    kept = log.with_suffix(".cost.json")
    if not kept.is_file():
        if options.done:
            return None
        out.mkdir(exist_ok=True)
        run_child(command, log, cwd=out.parent, threads=1, budget_s=budget_s)
    return Cost(**json.loads(kept.read_text())).figures()


def _relion(options: argparse.Namespace, data: Path, maps: tuple[Path, ...]) -> dict[str, Any] | None:
    """Class3D without alignment; the last iteration that was completed is scored."""
    if shutil.which("relion_refine") is None:
        return None
    out, consensus = data / "relion", data / "consensus.mrc"
    if not consensus.is_file() and not options.done:
        make = ("relion_reconstruct", "--i", "truth.star", "--o", consensus.name, "--ctf")
        run_child(make, data / "consensus.log", cwd=data, threads=1)
    words = (
        *("relion_refine", "--i", "truth.star", "--o", out.resolve() / "run", "--ref", consensus.resolve()),
        *("--ini_high", 60, "--K", 2, "--iter", 25, "--tau2_fudge", 4, "--particle_diameter", 280, "--skip_align"),
        *("--ctf", "--zero_mask", "--flatten_solvent", "--norm", "--scale", "--oversampling", 1, "--healpix_order", 2),
        *("--pad", 2, "--random_seed", 1, "--j", 1, "--dont_check_norm"),
    )
    cost = _cost(options, [str(word) for word in words], out, options.budget)
    done = [int(m[1]) for p in out.glob("*") if (m := re.fullmatch(r"run_it(\d+)_optimiser\.star", p.name))]
    last = max(done, default=0)
    if cost is None or last == 0:
        return None
    score = sticks.score_accepted(options.sticks, data, out / f"run_it{last:03d}_data.star")
    return {**cost, "iterations": last, "ari": score["ari"]}


def _ceiling(options: argparse.Namespace, data: Path, maps: tuple[Path, ...]) -> dict[str, Any]:
    """Of the more likely of the true maps, each with the scale that fits best, at the true poses in white noise."""
    particles = judged(read_particles(data / "truth.star"))
    poses, settings = Poses.from_particles(particles), Class3D()
    prepared_data = prepare_particles(
        particles.read, len(particles), preparation_for(particles, settings), rings=28, ctf=particles.ctf_for(True)
    )
    points, gain = RingPoints(basis=prepared_data.basis), []
    noise = prepared_data.group_power[:, -3:].mean(1, keepdim=True).expand_as(prepared_data.group_power)
    images = point_images(prepared_data, np.arange(len(particles)), points, noise.contiguous())
    x = images.centred(poses.origin_A)
    for path in maps:
        grid = resample(read_volume(path), points.side, window_A(prepared_data) / points.side)
        slices = images.slices(prepared(torch.from_numpy(grid.data)), poses.rotation)
        product, power = (slices.conj() * x).real.sum(1), slices.abs().square().sum(1)
        scale = product.sum() / power.sum()
        gain.append((2 * scale * product - scale**2 * power).numpy())
    truth = particles.table.numbers("truthMap").astype(np.int64) - 1
    return {"ari": round(adjusted_rand_index(np.argmax(gain, axis=0), truth), 4)}


WAYS: dict[str, Callable[[argparse.Namespace, Path, tuple[Path, ...]], dict[str, Any] | None]] = {
    "ceiling": _ceiling,
    "reference": lambda options, data, maps: _ours(options, data, "particles.star", "--reference", maps[0].resolve()),
    "true": lambda options, data, maps: _ours(options, data, "truth.star"),
    "RELION": _relion,
}
