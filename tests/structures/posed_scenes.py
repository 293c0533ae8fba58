"""Particles of a known map in known poses, small enough for quick tests."""

from dataclasses import dataclass

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from vitreous.fourier import central_slices, centred_irfft2, prepare_volume, shift_phase
from vitreous.optics import CTFParameters, ctf_2d
from vitreous.particles import Volume
from vitreous.rotations import random_rotations
from vitreous.simulate import phantom
from vitreous.structures import Poses
from vitreous.testing import ArrayParticles

__all__ = ["DIAMETER_A", "PIXEL_A", "Scene", "error_deg", "scene", "true_map"]

BOX, PIXEL_A, DIAMETER_A = 32, 5.0, 135.0


@dataclass(frozen=True, kw_only=True)
class Scene:
    """particles, and the poses that they were made with."""

    particles: ArrayParticles
    truth: Poses
    map: Volume

    def start(self, deg: float, shift_A: float, *, lost: float = 0.0, seed: int = 5) -> Poses:
        """The truth with errors: median angle, standard deviation of origins per axis, share with any view at all."""
        rng = np.random.default_rng(seed)
        n = len(self.truth)
        error = Rotation.from_rotvec(rng.normal(0, np.deg2rad(deg) / 1.538, (n, 3))).as_matrix()
        rotation = self.truth.rotation @ error
        gone = rng.random(n) < lost
        rotation[gone] = random_rotations(int(gone.sum()), seed=seed).numpy()
        origin = self.truth.origin_A + rng.normal(0, shift_A, (n, 2))
        return Poses(particle=np.arange(n), volume=np.zeros(n, np.int64), rotation=rotation, origin_A=origin)


def true_map(box_px: int = BOX, pixel_A: float = PIXEL_A) -> Volume:
    """The map of all scenes on any grid."""
    return Volume(data=phantom(box_px, pixel_A, "small").numpy(), pixel_size_A=pixel_A)


def scene(
    n: int, snr: float, seed: int = 0, *, signal: bool = True, volume: Volume | None = None, lacking: bool = False
) -> Scene:
    """n particles with astigmatic CTFs, uniform views, origins of 4 A and white noise; signal False: noise alone.

    volume: another map than that of all scenes, on their grid; lacking: the map lacks what is within 20 A of a point
    that is 25 A from its centre.
    """
    rng = np.random.default_rng(seed)
    rotations = random_rotations(n, seed=seed)
    origin = rng.normal(0, 4.0, (n, 2))
    defocus = rng.uniform(8000, 16000, n)
    ctf = CTFParameters(
        defocus_u_A=defocus + 300.0,
        defocus_v_A=defocus - 300.0,
        defocus_angle_deg=rng.uniform(0, 180, n),
        voltage_kV=np.full(n, 300.0),
        cs_mm=np.full(n, 2.7),
        amplitude_contrast=np.full(n, 0.1),
        phase_shift_deg=np.zeros(n),
        b_factor_A2=np.zeros(n),
    )
    volume = volume or true_map()
    if lacking:
        z, y, x = (np.indices(volume.data.shape) - BOX // 2) * PIXEL_A
        away = 1 / (1 + np.exp((20.0 - np.sqrt((x - 25.0) ** 2 + y**2 + z**2)) / 2.0))
        volume = volume.with_data((volume.data * away).astype(np.float32))
    slices = central_slices(prepare_volume(torch.from_numpy(volume.data)), rotations.float(), BOX)
    moved = slices * ctf_2d(ctf, BOX, PIXEL_A) * shift_phase(torch.from_numpy(-origin / PIXEL_A).float(), BOX)
    clean = centred_irfft2(moved, BOX).numpy()
    noise = rng.normal(size=clean.shape) * np.sqrt(clean.var() / snr)
    poses = Poses(particle=np.arange(n), volume=np.zeros(n, np.int64), rotation=rotations.numpy(), origin_A=origin)
    images = (clean * signal + noise).astype(np.float32)
    return Scene(particles=ArrayParticles(images=images, pixel_size_A=PIXEL_A, ctf=ctf), truth=poses, map=volume)


def error_deg(found: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Angles (n,) between poses after the one rotation of the map that brings most of them together."""
    relative = found @ np.swapaxes(truth, 1, 2)
    frame = np.eye(3)
    for _ in range(5):
        angle = np.rad2deg(Rotation.from_matrix(frame.T @ relative).magnitude())
        frame = Rotation.from_matrix(relative[angle < 20]).mean().as_matrix()
    return np.rad2deg(Rotation.from_matrix(frame.T @ relative).magnitude())
