"""Initial models from averages by every method but the mixtures, on one score, against the truth.

Averages are simulated from atoms as in `initial-models` (no noise, random directions, 15 A): RNA polymerase II and the
70S ribosome, 25 or 50 each. Every row is one method within one run of `vitreous initial averages.mrcs --method all`;
CPU seconds are those of all its starts, the scrambled one included, as the history of the job has them, and the
memory is the most that the process took meanwhile. CC and FSC = 0.5 are against the true map over the whole box, at the
better hand. Real averages are the 50 of the *P. falciparum* 80S ribosome (points on pixels) and 16 of
beta-galactosidase (D2), as in `initial-real`; their maps are those that lie beside them, at 25 A.

The second table has single images: projections of the 70S map in random directions, centred, without CTF, with white
noise at SNR 1/10 over the whole box. Their orientations come from common lines alone, then after six rounds of the
ascent. ASPIRE 0.14 on 2,000 such images: 6.4 degrees, 13.6 A, 101 CPU s.
"""

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks import atomic_scenes, initial_real
from benchmarks.atomic_scenes import DATA, STRUCTURES, Structure, make_scene
from benchmarks.initial_program import command
from benchmarks.record import REPOSITORY
from benchmarks.sticks import NotAvailable
from benchmarks.tables import markdown_table
from vitreous.jobs.results.methods import costs_of
from vitreous.particles import read_star, read_volume
from vitreous.quality import compare_maps
from vitreous.rotations import compare_poses, random_rotations, rotation_distance_deg
from vitreous.structures.from_averages import CommonLines, Fit, prepare_views
from vitreous.structures.from_averages.common_lines import common_lines
from vitreous.structures.from_averages.fitting import polish
from vitreous.structures.from_averages.projection_matching import SEARCH_RINGS
from vitreous.volumes import project_map

SEVENTY = Structure(file="ribosome70S_variant0.pdb.gz", images=25, box_px=80, pixel_size_A=4.0, truth_at_A=25.0)
CASES = {
    "Pol II": (STRUCTURES["Pol II"], 25),
    "Pol II, 50": (STRUCTURES["Pol II"], 50),
    "70S": (SEVENTY, 25),
    "70S, 50": (SEVENTY, 50),
}
MAP, MAP_PIXEL_A, MAP_BOX = "ribosome70S_65.mrc", 5.0, 65
SNR, ROUNDS, WITHIN_DEG = 0.1, 6, 30.0
FRAME_FROM = 200  # images by which the frame of the truth is found
FLIP = np.diag([1.0, 1.0, -1.0])
REAL = ("80S ribosome", "beta-galactosidase")
PRINTED = (  # what Joubert's thesis (2016) says of the programs, each on images of its own
    ("stochastic", "PRIME: 500 to 1,000 CPU hours"),
    ("ransac", "380 subsets of 4 to 9 averages, the best 5 to 10 refined; less than an hour on a laptop"),
    ("significant", "15 % of all orientations, then fewer, to 0.01 %; a few hours"),
    ("clustered-lines", "OptiMod: up to 1,000 models"),
    ("quasi-newton", "a proof of concept"),
    ("gmm", "25 averages: 100 s per restart; real ones: less than 8 CPU hours"),
)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options."""
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the atomic models and maps")
    parser.add_argument("--cases", nargs="*", choices=list(CASES), default=list(CASES))
    parser.add_argument("--real", nargs="*", choices=REAL, default=list(REAL))
    parser.add_argument("--seeds", type=int, nargs="+", default=[20261])
    parser.add_argument("--restarts", type=int, default=4)
    parser.add_argument("--bayesian", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--single", type=int, nargs="*", default=[2000, 3000], help="numbers of single images")
    parser.add_argument("--done", action="store_true", help="do not repeat jobs that have been made already")
    parser.add_argument("--kept", action="store_true", help="only the jobs that have been made already")
    parser.add_argument("--threads", type=int, default=1)


def measure(options: argparse.Namespace, work: Path) -> dict[str, Any]:
    """One row per case, seed and method; one per number of single images."""
    rows, single = [], []
    for seed in options.seeds:
        for name in options.cases:
            rows += [{"case": name, "seed": seed, **row} for row in _case(name, seed, options, work)]
            print(*rows[-8:], sep="\n", flush=True)
    for name in options.real:
        rows += [{"case": name, "seed": options.seeds[0], **row} for row in _real(name, options, work)]
        print(*rows[-8:], sep="\n", flush=True)
    rows.sort(key=lambda row: [*CASES, *REAL].index(row["case"]))
    for count in options.single:
        single.append(_single(count, options))
        print(single[-1], flush=True)
    return {"threads": options.threads, "restarts": options.restarts, "rows": rows, "single": single}


def _case(name: str, seed: int, options: argparse.Namespace, work: Path) -> list[dict[str, Any]]:
    structure, images = CASES[name]
    atomic_scenes.STRUCTURES[name] = Structure(**{**vars(structure), "images": images})
    folder = work / f"{name.replace(', ', '-').replace(' ', '-')}-{seed}"
    if options.kept and not _made(folder / "all"):
        return []
    scene = make_scene(options.data, name, folder, seed=seed)
    return _all_methods(scene.averages, scene.truth, folder / "all", seed, options)


def _real(name: str, options: argparse.Namespace, work: Path) -> list[dict[str, Any]]:
    data, given = REPOSITORY / options.data, initial_real.SETS[name]
    if not (data / "averages" / given.file).is_file():
        raise NotAvailable(f"the real averages are not at {options.data / 'averages'}; give --data")
    folder = work / name.replace(" ", "-")
    if options.kept and not _made(folder / "all"):
        return []
    folder.mkdir(parents=True, exist_ok=True)
    averages, _ = initial_real.prepare(data, given, folder)
    truth = initial_real.reference(data / "maps" / given.reference, folder)
    words = ["--symmetry", given.symmetry]
    return _all_methods(averages, truth, folder / "all", options.seeds[0], options, words)


def _made(folder: Path) -> bool:
    return (folder / "initial_methods.star").is_file()


def _all_methods(
    averages: Path, true: Path, folder: Path, seed: int, options: argparse.Namespace, words: Sequence[str] = ()
) -> list[dict[str, Any]]:
    words = ["--method", "all", "--restarts", str(options.restarts), "--seed", str(seed), *words]
    words += [] if options.bayesian else ["--no-bayesian"]
    if not ((options.done or options.kept) and _made(folder)):
        command("initial", averages, folder, threads=options.threads, options=words)
    lines = [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]
    costs, table = costs_of(lines), read_star(folder / "initial_methods.star")["methods"]
    truth, rows = read_volume(true), []
    for i, method in enumerate(table.text("vtrMethod")):
        found, _ = compare_maps(read_volume(folder / f"initial_method_{method}.mrc"), truth)
        rows.append(
            {
                "method": method,
                "score": float(table.numbers("vtrScore")[i]),
                "agreement": float(table.numbers("vtrAgreementOfRestarts")[i]),
                "correlation": round(found.correlation, 4),
                "other_hand": round(found.mirrored_correlation, 4),
                "resolution_A": round(found.resolution_A, 1) if np.isfinite(found.resolution_A) else None,
                "cpu_s": round(costs[method][0], 1),
                "peak_MB": costs[method][1],
            }
        )
    return rows


def _single(count: int, options: argparse.Namespace) -> dict[str, Any]:
    path = REPOSITORY / options.data / "maps" / MAP
    if not path.is_file():
        raise NotAvailable(f"the maps are not at {options.data / 'maps'}; give --data")
    torch.set_num_threads(1)
    volume, seed = read_volume(path, pixel_size_A=MAP_PIXEL_A), options.seeds[0]
    rotations, rng = random_rotations(count, seed=seed).numpy(), np.random.default_rng(seed)
    images = project_map(volume, rotations, np.zeros((count, 2)), MAP_BOX, MAP_PIXEL_A)
    images = images / images.std() + rng.standard_normal(images.shape) / np.sqrt(SNR)
    common_lines(prepare_views(images[:20].astype(np.float32), MAP_PIXEL_A), CommonLines(), seed, 0)  # compiles
    before = time.process_time()
    views = prepare_views(images.astype(np.float32), MAP_PIXEL_A)
    fit = common_lines(views, CommonLines(), seed, 0)
    lines_s = time.process_time() - before
    polished = polish(views, fit, first_rings=min(SEARCH_RINGS, views.rings), rounds=ROUNDS)
    total_s = time.process_time() - before
    figures = {"images": count, "lines_cpu_s": round(lines_s, 1), "cpu_s": round(total_s, 1)}
    for name, one in (("lines", fit), ("polished", polished)):
        errors = _errors(one, rotations)
        figures |= {
            f"{name}_median_deg": round(float(np.median(errors)), 2),
            f"{name}_mean_deg": round(float(errors.mean()), 2),
        }
    return figures


def _errors(fit: Fit, rotations: np.ndarray) -> np.ndarray:
    """Degrees (n,) from the truth, in the frame and the hand that most of the first images agree on."""
    some, group = slice(0, FRAME_FROM), np.eye(3)[None]
    frame = compare_poses(rotations[some], fit.rotation[some], group=group, within_deg=WITHIN_DEG)
    true = FLIP @ rotations @ FLIP if frame.other_hand else rotations
    return rotation_distance_deg(torch.from_numpy(frame.rotation @ true), torch.from_numpy(fit.rotation)).numpy()


def table(figures: dict[str, Any]) -> str:
    """Both tables."""
    header = (
        "averages",
        "seed",
        "method",
        "score",
        "restarts share (%)",
        "CC",
        "other hand",
        "FSC 0.5 (A)",
        "CPU s",
        "MB",
    )
    rows = [
        (r["case"], r["seed"], r["method"], r["score"], round(100 * r["agreement"]), r["correlation"], r["other_hand"],
         "none" if r["resolution_A"] is None else r["resolution_A"], r["cpu_s"], r["peak_MB"])
        for r in figures["rows"]
    ]  # fmt: skip
    head = ("images", "common lines: median (deg)", "mean", "CPU s", "after the ascent: median (deg)", "mean", "CPU s")
    single = [
        (s["images"], s["lines_median_deg"], s["lines_mean_deg"], s["lines_cpu_s"], s["polished_median_deg"],
         s["polished_mean_deg"], s["cpu_s"])
        for s in figures["single"]
    ]  # fmt: skip
    text = f"{figures['threads']} threads, {figures['restarts']} restarts of every method."
    tables = (markdown_table(header, rows), markdown_table(head, single) if single else "")
    printed = markdown_table(("method", "printed in the thesis"), PRINTED)
    return "\n\n".join(part for part in (text, *tables, printed) if part)
