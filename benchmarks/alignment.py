"""Alignment of images of one view: errors of angles, agreement of starts, and what interpolation costs."""

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.tables import markdown_table
from vitreous.averages.align import Align, align
from vitreous.fourier import centred_irfft2, centred_rfft2, shift_phase
from vitreous.matching import Alignments, ImagePreparation, aligned_images
from vitreous.optics import CTFParameters
from vitreous.testing import ArrayParticles, Blobs, with_ctf

BOX, PIXEL_A = 64, 5.0
METHODS = (("free", "noise"), ("free", "plain"), ("pyramidal", "noise"), ("reference", "noise"))
BANDS = ((0.05, 0.15), (0.15, 0.25), (0.25, 0.35), (0.35, 0.45))  # cycles per pixel


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options."""
    parser.add_argument("--particles", type=int, default=300)
    parser.add_argument("--snr", type=float, nargs="+", default=[0.1, 0.02, 0.01])
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])


def measure(options: argparse.Namespace, work: Path) -> dict[str, Any]:
    """One row per SNR, method and seed; one per way to interpolate."""
    torch.set_num_threads(1)
    rows = []
    for snr in options.snr:
        for seed in options.seeds:
            particles, psi, shape = _particles(options.particles, snr, seed)
            for method, weights in METHODS:
                rows.append({"snr": snr, "seed": seed} | _one(particles, psi, shape, method, weights, seed))
                print(rows[-1], flush=True)
    return {"particles": options.particles, "rows": rows, "interpolation": _interpolation()}


def _particles(n: int, snr: float, seed: int) -> tuple[ArrayParticles, np.ndarray, Blobs]:
    """Images of one shape with seven defocus values, shifts within 2 px, white noise."""
    rng = np.random.default_rng(seed)
    shape = Blobs.random(100 + seed, count=30, reach_px=20.0, width_px=2.0)
    psi, origin = rng.uniform(-180, 180, n), rng.uniform(-2, 2, (n, 2))
    defocus, ones = np.linspace(10000, 25000, 7)[rng.integers(0, 7, n)], np.ones(n)
    ctf = CTFParameters(
        defocus_u_A=defocus, defocus_v_A=defocus, defocus_angle_deg=0 * ones, voltage_kV=300 * ones, cs_mm=2 * ones,
        amplitude_contrast=0.1 * ones, phase_shift_deg=0 * ones, b_factor_A2=0 * ones,
    )  # fmt: skip
    clean = np.stack([with_ctf(shape.image(BOX, psi[i], tuple(origin[i])), ctf, i, PIXEL_A) for i in range(n)])
    images = clean + np.sqrt(clean.var((1, 2)).mean() / snr) * rng.normal(size=clean.shape)
    return ArrayParticles(images=images.astype(np.float32), pixel_size_A=PIXEL_A, ctf=ctf), psi, shape


def _one(
    particles: ArrayParticles, psi: np.ndarray, shape: Blobs, method: Any, weights: Any, seed: int
) -> dict[str, Any]:
    reference = shape.image(BOX) if method == "reference" else None
    start = time.process_time()
    settings = Align(method=method, weights=weights, particle_diameter_A=240.0, starts=3, seed=seed)
    found = align(particles, settings, reference=reference)
    spent = time.process_time() - start
    difference = np.exp(1j * np.deg2rad(found.alignments.psi_deg - psi))
    error = np.rad2deg(np.abs(np.angle(difference * np.conj(difference.mean()))))
    return {
        "method": method,
        "weights": weights,
        "median_error_deg": round(float(np.median(error)), 2),
        "wrong_share": round(float((error > 20).mean()), 4),
        "pixel_error_px": None if method == "reference" else round(found.mean_error_A / PIXEL_A, 3),
        "resolution_A": round(found.resolution_A, 1) if np.isfinite(found.resolution_A) else None,
        "cpu_s": round(spent, 1),
    }


def _interpolation() -> list[dict[str, Any]]:
    """Power that white noise keeps in bands of frequency after one turn by 30 degrees and a shift of half a pixel."""
    white = torch.from_numpy(np.random.default_rng(0).normal(size=(64, 1, BOX, BOX)).astype(np.float32))
    before = _bands(white[:, 0])
    ways = ("nearest", "bilinear", "bicubic")
    rows = [{"way": name, "kept": _kept(_turned(white, name)[:, 0], before)} for name in ways]
    shift = torch.tensor([[0.5, 0.5]])
    rows.append({"way": "Fourier, shift alone", "kept": _kept(
        centred_irfft2(centred_rfft2(white[:, 0]) * shift_phase(shift, BOX), BOX), before)})  # fmt: skip
    preparation = ImagePreparation.for_box(BOX, 1.0, normalise=False)
    at = Alignments.from_shifts(np.arange(64), np.zeros(64, int), np.full(64, np.pi / 6), np.full((64, 2), 0.5))
    ours = torch.cat([i for _, i, _ in aligned_images(lambda i: white[i, 0].numpy(), preparation, None, at)])
    rows.append(
        {"way": "this program: Fourier shift, bicubic turn on a grid twice as fine", "kept": _kept(ours, before)}
    )
    return rows


def _turned(images: torch.Tensor, mode: str) -> torch.Tensor:
    axis = torch.arange(BOX, dtype=torch.float32) - BOX // 2
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    c, s = np.cos(np.pi / 6), np.sin(np.pi / 6)
    at = torch.stack([c * x + s * y + 0.5, -s * x + c * y + 0.5], -1) + BOX // 2
    grid = (at * (2 / (BOX - 1)) - 1).expand(len(images), -1, -1, -1)
    return torch.nn.functional.grid_sample(images, grid, mode=mode, align_corners=True)


def _bands(images: torch.Tensor) -> np.ndarray:
    """Mean power in the bands within the disc that a turn leaves in the box."""
    axis = torch.arange(BOX) - BOX // 2
    disc = (axis[:, None] ** 2 + axis[None] ** 2 < (0.4 * BOX) ** 2).float()
    power = torch.fft.rfft2(images * disc).abs().square().mean(0)
    k = torch.hypot(*torch.meshgrid(torch.fft.fftfreq(BOX), torch.fft.rfftfreq(BOX), indexing="ij"))
    return np.array([float(power[(k >= low) & (k < high)].mean()) for low, high in BANDS])


def _kept(images: torch.Tensor, before: np.ndarray) -> list[float]:
    return [round(float(x), 3) for x in _bands(images) / before]


def table(figures: dict[str, Any]) -> str:
    """Medians over seeds, and the power that is left after interpolation."""
    rows = []
    for snr in dict.fromkeys(r["snr"] for r in figures["rows"]):
        for method, weights in METHODS:
            mine = [r for r in figures["rows"] if (r["snr"], r["method"], r["weights"]) == (snr, method, weights)]
            errors = [r["pixel_error_px"] for r in mine if r["pixel_error_px"] is not None]
            resolutions = [r["resolution_A"] for r in mine if r["resolution_A"] is not None]
            rows.append((
                snr, f"{method}, {weights}", f"{np.median([r['median_error_deg'] for r in mine]):.2f}",
                f"{100 * np.median([r['wrong_share'] for r in mine]):.1f} %",
                f"{np.median(errors):.3f}" if errors else "-",
                f"{np.median(resolutions):.1f}" if resolutions else "-", f"{np.median([r['cpu_s'] for r in mine]):.1f}",
            ))  # fmt: skip
    header = ("SNR", "method, weights", "median error (deg)", "off by > 20 deg", "starts apart (px)", "FRC 0.143 (A)",
              "CPU s")  # fmt: skip
    text = (
        f"{figures['particles']} images of one shape (30 blobs, 64 px, 5 A, seven defocus values, shifts within 2 px), "
        "three starts; medians over data seeds. The method reference is given the true shape."
    )
    bands = ("interpolation", *(f"{low:g}-{high:g} cycles/px" for low, high in BANDS))
    kept = [(r["way"], *(f"{100 * x:.0f} %" for x in r["kept"])) for r in figures["interpolation"]]
    low_pass = (
        "Power of white noise that is left after one turn by 30 degrees and a shift of half a pixel. More than 100 % "
        "is what the corners of Fourier space, beyond 0.5 cycles per pixel, leave there once they are turned:"
    )
    return f"{text}\n\n{markdown_table(header, rows)}\n\n{low_pass}\n\n{markdown_table(bands, kept)}"
