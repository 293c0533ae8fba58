"""Refinement from a random start: ab initio, then poses and map, against the truth; and what the half maps claim.

The 70S benchmark (64 px, 5 A/px). Poses are compared after the one rotation, over both hands, that brings most of them
together; the map within the ball of 28 px of metrics.py after an alignment over both hands. *Claimed* is what the half
maps say (FSC 0.143, masked, corrected). *Errors over sigma* is the robust standard deviation of true errors of in-plane
angles and directions over what was said of them: 1 where what is said is true.
"""

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks import sticks
from benchmarks.tables import markdown_table
from vitreous.particles import ParticleSet, Volume, read_particles, read_volume
from vitreous.quality import compare_maps, resolution_at, shell_correlation, soft_ball
from vitreous.rotations import compare_poses
from vitreous.structures import Poses
from vitreous.structures.abinitio import Abinitio, abinitio
from vitreous.structures.refine import Refine, RefineResult, refine

CASES = ((0.1, 2000), (0.1, 5000), (0.02, 5000))
FLIP = np.diag([1.0, 1.0, -1.0])


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options."""
    parser.add_argument("--sticks", type=Path, default=sticks.DEFAULT, help="folder of make_data.py")
    parser.add_argument("--seeds", type=int, nargs="+", default=[20240701, 20240702], help="of the data")
    parser.add_argument("--starts", type=int, default=1, help="random starts for every data set")


def measure(options: argparse.Namespace, work: Path) -> dict[str, Any]:
    """One row per data set, SNR, number of particles and random start."""
    torch.set_num_threads(1)
    rows = []
    for seed in options.seeds:
        data = sticks.make_data(options.sticks, work / f"data-{seed}", seed=seed)
        truth, true_map = (
            Poses.from_particles(read_particles(data / "truth.star")),
            read_volume(data / "vol_true_64.mrc"),
        )
        for snr, count in CASES:
            particles = read_particles(data / f"particles_snr{snr}.star").subset(np.arange(count))
            for start in range(options.starts):
                row = _run(particles, truth.take(slice(0, count)), true_map, start)
                rows.append({"seed": seed, "snr": snr, "particles": count, "start": start, **row})
                print(rows[-1], flush=True)
    return {"rows": rows}


def _run(particles: ParticleSet, truth: Poses, true_map: Volume, start: int) -> dict[str, float]:
    began = time.process_time()
    first = abinitio(particles, Abinitio(seed=start, starts=1))
    half_way = time.process_time()
    found = refine(particles, Refine(seed=start), poses=first.poses, threads=1)
    ended = time.process_time()
    return {
        "abinitio_cpu_s": round(half_way - began, 1),
        "refine_cpu_s": round(ended - half_way, 1),
        **_pose_figures(found, truth),
        **_map_figures(found, true_map),
    }


def _pose_figures(found: RefineResult, truth: Poses) -> dict[str, float]:
    agreement = compare_poses(truth.rotation, found.poses.rotation, group=np.eye(3)[None], within_deg=10.0)
    true = FLIP @ truth.rotation @ FLIP if agreement.other_hand else truth.rotation
    error = np.swapaxes(agreement.rotation @ true, 1, 2) @ found.poses.rotation
    angle = np.rad2deg(np.arccos(np.clip((np.trace(error, axis1=1, axis2=2) - 1) / 2, -1, 1)))
    near = angle < 10
    w = np.rad2deg(0.5 * np.stack([error[:, 2, 1] - error[:, 1, 2], error[:, 0, 2] - error[:, 2, 0],
                                   error[:, 1, 0] - error[:, 0, 1]], 1))[near]  # fmt: skip
    sigma = np.stack([found.sigma_direction_deg, found.sigma_direction_deg, found.sigma_psi_deg], 1)[near]
    return {
        "median_deg": round(float(np.median(angle)), 3),
        "within_10_deg": round(float(near.mean()), 4),
        "errors_over_sigma": round(float(1.4826 * np.median(np.abs(w / sigma))), 3),
    }


def _map_figures(found: RefineResult, true_map: Volume) -> dict[str, float]:
    _, aligned = compare_maps(found.full, true_map)
    ball = soft_ball(true_map.box_px, 28.0, 4.0)
    curve = shell_correlation(*(torch.from_numpy(np.array(v.data, np.float32)) * ball for v in (aligned, true_map)))
    half, seventh = (
        float(resolution_at(curve, level, true_map.box_px, true_map.pixel_size_A)) for level in (0.5, 0.143)
    )
    return {
        "fsc_0.5_A": round(half, 2),
        "fsc_0.143_A": round(seventh, 2),
        "claimed_A": round(found.resolution_A, 2),
    }


def table(figures: dict[str, Any]) -> str:
    """A row per run."""
    header = (
        "data", "SNR", "particles", "start", "median error", "within 10°", "errors over sigma", "FSC 0.5 with truth, A",
        "claimed, A", "CPU s, ab initio", "CPU s, refine",
    )  # fmt: skip
    rows = [
        (
            f"{r['seed']}", f"{r['snr']:g}", f"{r['particles']:,}", f"{r['start']}", f"{r['median_deg']:.2f}°",
            f"{r['within_10_deg']:.1%}", f"{r['errors_over_sigma']:.2f}", f"{r['fsc_0.5_A']:.1f}",
            f"{r['claimed_A']:.1f}", f"{r['abinitio_cpu_s']:.0f}", f"{r['refine_cpu_s']:.0f}",
        )
        for r in figures["rows"]
    ]  # fmt: skip
    return markdown_table(header, rows)
