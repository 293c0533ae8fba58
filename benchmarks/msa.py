"""Multivariate analysis: eight faces come apart, what 20,000 images cost, what misalignment looks like, real particles.

Faces and rings are drawings (`vitreous.simulate`), 64 pixels, white noise, SNR by all pixels of the box; a wrong image
is one outside of the class that stands for its face. Nothing was chosen on these seeds. The cost is that of a whole
job, `vitreous msa` on a stack, start and report included, beside the rate of a product of two 1536 x 1536 matrices on
the same machine. The real particles are 832 images of the 80S ribosome after `vitreous class2d` with four classes.
"""

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment

from benchmarks.child import run_child
from benchmarks.record import REPOSITORY
from benchmarks.tables import markdown_table
from vitreous.averages.msa import msa
from vitreous.jobs.results.msa import open_msa_folder
from vitreous.particles import MrcStackWriter
from vitreous.simulate import face_images, ring_images, with_white_noise
from vitreous.testing import ArrayParticles

BOX_PX, PIXEL_A, MACHINE_SIZE = 64, 2.0, 1536
REAL = Path("data") / "ribosome80S_empiar10028" / "ribo80S_80_5.36A.star"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options."""
    parser.add_argument("--seeds", type=int, nargs="+", default=[101, 102, 103])
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--many", type=int, default=20_000, help="images whose cost is measured")
    parser.add_argument("--shared", type=Path, default=Path("../shared"), help="folder with the real particles")


def measure(options: argparse.Namespace, work: Path) -> dict[str, Any]:
    """Faces, rings, errors of alignment, cost, real particles."""
    work.mkdir(parents=True, exist_ok=True)
    faces = [
        _faces(seed, options.images, snr, metric)
        for snr, metric in ((0.1, "euclidean"), (0.1, "chi-square"), (0.1, "modulation"), (0.05, "euclidean"))
        for seed in options.seeds
    ]
    rings = [_ring(seed, options.images) for seed in options.seeds]
    shifted = [_misaligned(sd, options.images) for sd in (0.0, 0.5, 1.0, 2.0)]
    cost = _cost(options.many, work)
    return {
        "images": options.images, "faces": faces, "rings": rings, "misaligned": shifted, "cost": cost,
        "real": _real(options.shared, work),
    }  # fmt: skip


def wrong_percent(label: np.ndarray, truth: np.ndarray) -> float:
    """Images outside of the class that stands for theirs, in percent."""
    table = np.zeros((label.max() + 1, truth.max() + 1))
    np.add.at(table, (label, truth), 1)
    rows, columns = linear_sum_assignment(-table)
    return round(100 * float(1 - table[rows, columns].sum() / len(truth)), 2)


def _analysed(images: np.ndarray, **settings: Any) -> Any:
    return msa(ArrayParticles(images=images, pixel_size_A=PIXEL_A), **settings)


def _faces(seed: int, count: int, snr: float, metric: str) -> dict[str, Any]:
    kind = np.random.default_rng(seed).integers(0, 8, count)
    found = _analysed(with_white_noise(face_images(BOX_PX, kind), snr, seed=seed), metric=metric)
    row = {
        "seed": seed, "snr": snr, "metric": metric, "factors": found.significant, "classes": len(found.averages),
        "wrong_kmeans": wrong_percent(found.kmeans_label, kind), "wrong_ward": wrong_percent(found.ward_label, kind),
    }  # fmt: skip
    print(row, flush=True)
    return row


def _ring(seed: int, count: int) -> dict[str, Any]:
    """Share of every variable part within the first three eigenimages."""
    parts = (np.random.default_rng(seed).random((count, 3)) < 0.5).astype(float)
    found = _analysed(with_white_noise(ring_images(BOX_PX, parts), 0.1, seed=seed))
    alone = ring_images(BOX_PX, np.eye(3)) - ring_images(BOX_PX, np.zeros((1, 3)))
    unit = alone[:, found.mask] / np.linalg.norm(alone[:, found.mask], axis=1)[:, None]
    inside = ((unit @ found.eigenimages[:3][:, found.mask].T) ** 2).sum(1)
    row = {
        "seed": seed, "factors": found.significant, "classes": len(found.averages),
        "within": [round(float(share), 3) for share in inside],
        "wrong_kmeans": wrong_percent(found.kmeans_label, (parts @ [1, 2, 4]).astype(int)),
    }  # fmt: skip
    print(row, flush=True)
    return row


def _misaligned(sd_px: float, count: int) -> dict[str, Any]:
    """Two faces that differ by their eyes, shifted by a normal error."""
    rng = np.random.default_rng(7)
    kind, shift = rng.integers(0, 2, count), rng.normal(0, sd_px, (count, 2))
    images = with_white_noise(face_images(BOX_PX, 2 * kind, origin_px=shift), 0.1, seed=7)
    found = _analysed(images)
    row = {
        "shift_sd_px": sd_px, "factors": found.significant, "classes": len(found.averages),
        "like_alignment": [round(float(share), 2) for share in found.likeness[: min(found.significant, 4), 0]],
        "wrong_with_two": wrong_percent(_analysed(images, classes=2).label, kind),
    }  # fmt: skip
    print(row, flush=True)
    return row


def _cost(count: int, work: Path) -> dict[str, Any]:
    stack, kind = work / "faces.mrcs", np.random.default_rng(0).integers(0, 8, count)
    with MrcStackWriter(stack, box_px=BOX_PX, pixel_size_A=PIXEL_A) as out:
        for start in range(0, count, 1000):
            part = kind[start : start + 1000]
            out.append(with_white_noise(face_images(BOX_PX, part), 0.1, seed=0, first=start))
    folder = work / "many"
    rate = _machine_rate()
    command: list[str | Path] = [sys.executable, "-m", "vitreous", "msa", stack, "-o", folder, "--threads", "1"]
    cost = run_child([*command, "--memory", "800M", "--overwrite"], work / "many.log", threads=1).figures()
    found = open_msa_folder(folder)
    used = found.kept["label"]
    stack.unlink()
    row = {
        "images": count, **cost, "machine_GFLOP_per_s": round(rate, 1),
        "covariance_GFLOP": round(2e-9 * count * float((found.kept["mask"] > 0).sum()) ** 2, 1),
        "classes": len(found.population), "wrong_kmeans": wrong_percent(used, kind),
    }  # fmt: skip
    print(row, flush=True)
    return row


def _machine_rate() -> float:
    """GFLOP per CPU second of the fastest of some products."""
    left, right = torch.randn(2, MACHINE_SIZE, MACHINE_SIZE)
    best = np.inf
    for _ in range(6):
        start = time.process_time()
        _ = left @ right
        best = min(best, time.process_time() - start)
    return 2e-9 * MACHINE_SIZE**3 / best


def _real(shared: Path, work: Path) -> dict[str, Any] | None:
    star = (REPOSITORY / shared / REAL).resolve()
    if not star.is_file():
        return None
    base: list[str | Path] = [sys.executable, "-m", "vitreous"]
    common = ["--particle-diameter-A", "340", "--threads", "1", "--overwrite"]
    run_child([*base, "class2d", star, "-o", work / "c2d", "--classes", "4", *common], work / "c2d.log", threads=1)
    cost = run_child([*base, "msa", work / "c2d", "-o", work / "real", *common], work / "real.log", threads=1)
    found = open_msa_folder(work / "real")
    first = found.eigenvalues[:6] / found.figures["noise_limit"]
    row = {
        **cost.figures(), "factors": int(found.figures["significant"]), "classes": len(found.population),
        "agreement": round(found.figures["agreement"], 2), "eigenvalues": [round(float(v), 2) for v in first],
        "like_alignment": [round(float(share), 2) for share in found.likeness[:6, 0]],
        "follow_defocus": [round(float(share), 2) for share in found.likeness[:6, 2]],
    }  # fmt: skip
    print(row, flush=True)
    return row


def table(figures: dict[str, Any]) -> str:
    """All of it."""
    faces = markdown_table(
        ("SNR", "metric", "seed", "significant factors", "classes found", "wrong, K-means %", "wrong, Ward %"),
        [
            (r["snr"], r["metric"], r["seed"], r["factors"], r["classes"], r["wrong_kmeans"], r["wrong_ward"])
            for r in figures["faces"]
        ],
    )
    rings = markdown_table(
        ("seed", "significant factors", "classes found", "hub, arm, subunit within three eigenimages", "wrong %"),
        [
            (r["seed"], r["factors"], r["classes"], ", ".join(map(str, r["within"])), r["wrong_kmeans"])
            for r in figures["rings"]
        ],
    )
    shifted = markdown_table(
        (
            "error of shifts, px",
            "significant factors",
            "their likeness to alignment errors",
            "classes",
            "wrong of 2, %",
        ),
        [
            (
                *(r["shift_sd_px"], r["factors"], ", ".join(map(str, r["like_alignment"])) or "-"),
                *(r["classes"], r["wrong_with_two"]),
            )
            for r in figures["misaligned"]
        ],
    )
    cost, real = figures["cost"], figures["real"]
    many = (
        f"{cost['images']:,} images: {cost['cpu_s']} CPU s, peak {cost['peak_MB']:,.0f} MB with `--memory 800M`, one "
        f"thread; {cost['classes']} classes, {cost['wrong_kmeans']} % wrong. The covariance takes "
        f"{cost['covariance_GFLOP']:,.0f} GFLOP, and the machine does {cost['machine_GFLOP_per_s']} GFLOP per "
        "CPU second."
    )
    text = f"Faces, {figures['images']:,} images:\n\n{faces}\n\nRings, SNR 0.1:\n\n{rings}\n\nTwo faces, SNR 0.1, "
    text += f"misaligned:\n\n{shifted}\n\n{many}"
    if real is None:
        return text
    return (
        f"{text}\n\nReal particles: {real['factors']} significant factors, {real['classes']} classes, K-means and Ward "
        f"agree by {real['agreement']}; first eigenvalues over the limit of noise {_listed(real['eigenvalues'])}; "
        f"their likeness to errors of alignment {_listed(real['like_alignment'])}, to defocus "
        f"{_listed(real['follow_defocus'])}; {real['cpu_s']} CPU s."
    )


def _listed(values: list[float]) -> str:
    return ", ".join(map(str, values))
