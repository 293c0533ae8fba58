"""Branch and bound over orientations and shifts against the exhaustive search of the same grid.

Simulated 70S particles (64 px, 5 A/px): each half is searched in the map that the other half gives in its true poses,
with its noise. Nine rings are the grid of a global pass of refinement. *Exhaustive* is the product of matrices that all
searches of this library use. An evaluation is one (direction, shift, rotation); *on all levels* counts those of the
coarse level, at fewer rings, and those that led to a first known score. CPU seconds include slices and gaps.
"""

import argparse
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.sticks import NotAvailable
from benchmarks.tables import markdown_table
from vitreous.matching import ImagePreparation, PreparedParticles, SearchPlan, find_rows, plan_search, prepare_particles
from vitreous.particles import read_particles
from vitreous.structures import Poses
from vitreous.structures.branch_bound import BoundedPoses, PoseTree, best_by_bound, pose_tree, tree_references
from vitreous.structures.refine.start import Start, from_poses
from vitreous.volumes import RingPoints, ring_slices

RANGE_A, OFFSET_SD_A = 20.0, 10.0
SEED = 3
TILE = 512


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options."""
    parser.add_argument("--data", type=Path, required=True, help="folder of one simulated set of the benchmark")
    parser.add_argument("--particles", type=int, nargs="+", default=[5000, 2000], help="for each number of rings")
    parser.add_argument("--snr", nargs="+", default=["0.1", "0.02"])
    parser.add_argument("--rings", type=int, nargs="+", default=[9, 14])
    parser.add_argument("--sigmas", type=float, nargs="+", default=[3.0])
    parser.add_argument("--sure-rings", type=int, nargs="*", default=[9], help="rings with the sure bound, too")


def measure(options: argparse.Namespace, work: Path) -> dict[str, Any]:
    """One row per SNR, number of rings and bound."""
    if not (options.data / "truth.star").is_file():
        raise NotAvailable(f"there is no simulated set at {options.data}; give --data")
    torch.set_num_threads(1)
    rows = []
    for snr in options.snr:
        for rings, count in zip(options.rings, options.particles, strict=True):
            data, truth = _particles(options.data, snr, count, rings)
            bounds = [*options.sigmas, *([None] if rings in options.sure_rings else [])]
            for row in _one(data, truth, rings, bounds):
                rows.append({"snr": float(snr), "rings": rings, "particles": count, **row})
                print(rows[-1], flush=True)
    return {"rows": rows}


def _particles(folder: Path, snr: str, count: int, rings: int) -> tuple[PreparedParticles, Poses]:
    particles = read_particles(folder / f"particles_snr{snr}.star")
    truth = Poses.from_particles(read_particles(folder / "truth.star")).take(slice(0, count))
    preparation = ImagePreparation.for_box(particles.box_px, particles.pixel_size_A)
    data = prepare_particles(particles.read, count, preparation, rings=rings, ctf=particles.ctf_for(False))
    return data, truth


def _one(data: PreparedParticles, truth: Poses, rings: int, bounds: list[float | None]) -> Iterator[dict[str, Any]]:
    """Each half of the particles in the map that the other half gives in its true poses."""
    tree = pose_tree(data, rings, offset_range_A=RANGE_A, seed=SEED)
    halves = [np.arange(half, len(data), 2) for half in (0, 1)]
    starts = [
        from_poses(data, truth, other, rings, group=torch.eye(3, dtype=torch.float64)[None]) for other in halves[::-1]
    ]
    spent, poses = zip(*(_exhaustive(data, h, s, tree) for h, s in zip(halves, starts, strict=True)), strict=True)
    best = np.concatenate(poses)
    common = {
        "levels": [level.grid.rings for level in tree.levels],
        "directions": len(tree.finest.matrices),
        "shifts": tree.finest.shifts,
        "rotations": tree.finest.grid.n_psi,
        "exhaustive_cpu_s": round(sum(spent), 1),
        "two_passes": _two_passes(data, halves, starts, tree),
    }
    for sigmas in bounds:
        before = time.process_time()
        found = [_bounded(data, h, s, tree, sigmas) for h, s in zip(halves, starts, strict=True)]
        seconds = time.process_time() - before
        here = np.concatenate([np.stack([f.direction, f.shift, f.turn], 1) for f in found])
        evaluated = found[0].evaluated + found[1].evaluated
        yield {
            **common,
            "sigmas": sigmas,
            "same": round(float((here == best[:, :3]).all(1).mean()), 5),
            "worst_nats": round(float((best[:, 3] - np.concatenate([f.score for f in found])).max()), 2),
            "poses_scored": [round(float(x), 6) for x in evaluated.poses / evaluated.all_poses],
            "fewer_at_full_resolution": round(float(evaluated.all_poses[-1] / evaluated.poses[-1]), 1),
            "fewer_in_all": round(evaluated.fewer, 2),
            "cpu_s": round(seconds, 1),
        }


def _exhaustive(data: PreparedParticles, index: np.ndarray, start: Start, tree: PoseTree) -> tuple[float, np.ndarray]:
    """CPU seconds; direction, shift, rotation and score (m, 4) of the best pose, by products of matrices."""
    before = time.process_time()
    found = _rows_found(data, index, start, SearchPlan(fine=tree.finest.grid, keep=1e-3), tree)
    return time.process_time() - before, found


def _two_passes(data: PreparedParticles, halves: list[np.ndarray], starts: list[Start], tree: PoseTree) -> float | None:
    """CPU seconds of the search with a coarse pass that the library uses from ten rings on; None with fewer."""
    plan = plan_search(tree.finest.grid, RANGE_A / data.pixel_size_A, keep=1e-3)
    if plan.coarse is None:
        return None
    before = time.process_time()
    for index, start in zip(halves, starts, strict=True):
        _rows_found(data, index, start, plan, tree)
    return round(time.process_time() - before, 1)


def _rows_found(
    data: PreparedParticles, index: np.ndarray, start: Start, plan: SearchPlan, tree: PoseTree
) -> np.ndarray:
    matrices = torch.from_numpy(tree.finest.matrices).float()
    references = plan.references(
        ring_slices(start.volume, matrices, RingPoints(basis=tree.finest.grid.basis)),
        ctf_harmonics=data.ctf_harmonics,
        log_class_prior=torch.zeros(len(matrices)),
        offset_sd_px=OFFSET_SD_A / data.pixel_size_A,
    )
    blocks = plan.blocks(references, TILE, data.memory_bytes)
    best = []
    for part in np.array_split(index, -(-len(index) // TILE)):
        tile = data.tile(part, plan.fine.rings, start.noise_power)
        rows = find_rows([tile], plan, blocks)[0]
        top, turn = rows.log_weight.max(1)
        order = np.lexsort((-top.numpy(), rows.image.numpy()))
        first = order[np.searchsorted(rows.image.numpy()[order], np.arange(len(part)))]
        best.append(np.stack([x.numpy()[first] for x in (rows.reference, rows.shift, turn, top)], 1))
    return np.concatenate(best)


def _bounded(
    data: PreparedParticles, index: np.ndarray, start: Start, tree: PoseTree, sigmas: float | None
) -> BoundedPoses:
    references = tree_references(
        tree, start.volume, ctf_harmonics=data.ctf_harmonics, offset_sd_px=OFFSET_SD_A / data.pixel_size_A
    )
    return best_by_bound(data, index, start.noise_power, references, sigmas=sigmas)


def table(figures: dict[str, Any]) -> str:
    """A line per SNR, number of rings and bound."""
    header = (
        *("SNR", "particles", "rings of the levels", "directions x shifts x rotations", "bound", "same best pose (%)"),
        *(
            "worst loss (nats)",
            "poses scored at full resolution (%)",
            "fewer evaluations there",
            "on all levels",
            "CPU s",
        ),
        *("exhaustive: CPU s", "with a coarse pass: CPU s"),
    )
    rows = [
        (
            *(
                r["snr"],
                f"{r['particles']:,}",
                ", ".join(map(str, r["levels"])),
                f"{r['directions']:,} x {r['shifts']} x {r['rotations']}",
            ),
            *("sure" if r["sigmas"] is None else f"likely, {r['sigmas']:g} sigma", f"{100 * r['same']:.2f}"),
            *(r["worst_nats"], f"{100 * r['poses_scored'][-1]:.3g}", r["fewer_at_full_resolution"]),
            *(r["fewer_in_all"], r["cpu_s"], r["exhaustive_cpu_s"], r["two_passes"]),
        )
        for r in figures["rows"]
    ]
    return f"One thread.\n\n{markdown_table(header, rows)}"
