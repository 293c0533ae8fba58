"""Small simulated sets of particles from a few shapes, with truth; and figures of agreement with it."""

from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment

from vitreous.averages.class2d import Class2D, prepare_run
from vitreous.optics import CTFParameters
from vitreous.testing import ArrayParticles, Blobs, with_ctf

BOX, PIXEL_A = 32, 5.0
SHAPES = [Blobs.random(200 + k, count=7, reach_px=8.5, width_px=1.5) for k in range(4)]


@dataclass(frozen=True, kw_only=True)
class Truth:
    """label (n,), psi_deg (n,), origin_px (n, 2) of every particle."""

    label: np.ndarray
    psi_deg: np.ndarray
    origin_px: np.ndarray


def defocus(n: int, seed: int, astigmatism_A: float = 0.0) -> CTFParameters:
    rng = np.random.default_rng(seed)
    mean, ones = rng.choice([10000.0, 14000.0, 18000.0, 22000.0], n), np.ones(n)
    return CTFParameters(
        defocus_u_A=mean + astigmatism_A / 2,
        defocus_v_A=mean - astigmatism_A / 2,
        defocus_angle_deg=180 * rng.random(n) if astigmatism_A else 0 * ones,
        voltage_kV=300 * ones,
        cs_mm=2.7 * ones,
        amplitude_contrast=0.1 * ones,
        phase_shift_deg=0 * ones,
        b_factor_A2=0 * ones,
    )


def simulate(
    n: int, snr: float, seed: int, *, shapes: list[Blobs] = SHAPES, ctf: CTFParameters | None = None, box: int = BOX
) -> tuple[ArrayParticles, Truth]:
    """n turned and shifted shapes in equal numbers; snr: variance over the image of the signal by that of the noise.

    snr inf: no noise; snr 0: nothing but noise.
    """
    rng = np.random.default_rng(seed)
    label = rng.permutation(np.arange(n) % len(shapes))
    psi, origin = 360 * rng.random(n), 0.8 * rng.normal(size=(n, 2))
    clean = np.stack([shapes[k].image(box, p, tuple(o)) for k, p, o in zip(label, psi, origin, strict=True)])
    if ctf is not None:
        clean = np.stack([with_ctf(image, ctf, i, PIXEL_A) for i, image in enumerate(clean)])
    noise = rng.normal(size=clean.shape)
    if snr == 0:
        images = noise
    elif np.isinf(snr):
        images = clean
    else:
        images = clean + np.sqrt(clean.var() / snr) * noise
    particles = ArrayParticles(images=images.astype(np.float32), pixel_size_A=PIXEL_A, ctf=ctf)
    return particles, Truth(label=label, psi_deg=psi, origin_px=origin)


def settings(**changes) -> Class2D:
    return Class2D(**({"classes": 4, "particle_diameter_A": 130.0, "offset_range_A": 12.0, "seed": 1} | changes))


def ready(particles: ArrayParticles, **changes):
    """(run, state before the first pass)."""
    run = prepare_run(particles, settings(**changes))
    with torch.no_grad():
        return run, run.algorithm.init(settings(**changes).seed)


def adjusted_rand_index(a: np.ndarray, b: np.ndarray) -> float:
    """Agreement of two partitions over pairs: 1 the same, 0 by chance (Hubert and Arabie 1985)."""
    table = np.zeros((a.max() + 1, b.max() + 1))
    np.add.at(table, (a, b), 1)

    def pairs(x: np.ndarray) -> float:
        return float((x * (x - 1) / 2).sum())

    both, rows, columns, every = pairs(table), pairs(table.sum(1)), pairs(table.sum(0)), pairs(np.array([len(a)]))
    expected = rows * columns / every
    return (both - expected) / ((rows + columns) / 2 - expected)


def angle_error_deg(found: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Deviations in one class after its common rotation has been taken away."""
    difference = np.deg2rad(found - true)
    common = np.angle(np.exp(1j * difference).mean())
    return np.abs(np.rad2deg(np.angle(np.exp(1j * (difference - common)))))


def matched(found: np.ndarray, true: np.ndarray) -> dict[int, int]:
    """The one-to-one match of found classes with true ones that has most members in common."""
    table = np.zeros((found.max() + 1, true.max() + 1))
    np.add.at(table, (found, true), 1)
    return dict(zip(*(x.tolist() for x in linear_sum_assignment(-table)), strict=True))
