"""What is looked for: a ball, images of any greyscale and pixel size, or projections of a map; in all rotations."""

from dataclasses import dataclass

import numpy as np
import torch
from scipy.ndimage import map_coordinates

from vitreous.conventions import centre_index, in_plane_matrix
from vitreous.particles import Volume
from vitreous.rotations import euler_to_matrix, fibonacci_directions
from vitreous.volumes import project_map, resample

__all__ = ["Bank", "ball_templates", "image_templates", "projection_templates", "rotated_bank"]

MARGIN = 1.25  # width of a template over the diameter
EDGE = 0.1  # of the diameter, over which a template fades
BRIGHT, FOLLOWED = 0.2, 5  # of the 99th percentile, above which mass counts; steps towards its centre
EXTENT = 0.25  # of the 90th percentile of what is above a tenth of the peak: where a particle ends


@dataclass(frozen=True, kw_only=True, eq=False)
class Bank:
    """Templates in all rotations; filter i shows template ``i // angles`` turned by ``psi_deg[i % angles]``."""

    filters: np.ndarray  # float32 (templates * angles, m, m), centre at index m // 2, energy 1
    angles: int
    pixel_size_A: float
    diameter_A: float

    @property
    def templates(self) -> int:
        """Number of templates."""
        return len(self.filters) // self.angles

    @property
    def diameter_px(self) -> float:
        """Of the particle, in pixels of the filters."""
        return self.diameter_A / self.pixel_size_A

    @property
    def psi_deg(self) -> np.ndarray:
        """(angles,) in-plane rotations, rlnAnglePsi."""
        return np.arange(self.angles) * (360.0 / self.angles)


def box_for(diameter_A: float, pixel_size_A: float) -> int:
    """Side in pixels of the box of a template, even."""
    return 2 * int(np.ceil(0.5 * MARGIN * diameter_A / pixel_size_A))


def ball_templates(diameter_A: float, pixel_size_A: float) -> np.ndarray:
    """The projection of a ball of even density: (1, m, m), the path through it at every pixel."""
    distance = _distance_A(box_for(diameter_A, pixel_size_A), pixel_size_A)
    path = np.sqrt(np.clip(1.0 - np.square(2.0 * distance / diameter_A), 0.0, None))
    return path[None].astype(np.float32)


def image_templates(images: np.ndarray, image_pixel_A: float, diameter_A: float, pixel_size_A: float) -> np.ndarray:
    """Images (n, L, L) as templates (n, m, m) at another pixel size, centred, and masked to the diameter.

    Every image has its background (the median outside of the circle) taken off and is given the energy 1, so that
    neither offset nor greyscale matters. The centre of mass of what is bright becomes the centre: class averages lie
    anywhere in their boxes, and so would what they pick. Dark particles are not turned over: a template shows what is
    looked for.
    """
    images = np.asarray(images, dtype=np.float64)
    outside = _distance_A(images.shape[1], image_pixel_A) > 0.5 * diameter_A
    ground = np.median(images[:, outside], axis=1) if outside.any() else np.zeros(len(images))
    box, ratio = box_for(diameter_A, pixel_size_A), pixel_size_A / image_pixel_A
    small = []
    for image in images - ground[:, None, None]:
        y, x = _centre_of_mass(image, 0.5 * diameter_A / image_pixel_A)
        down, across = (_band_limited(len(image), box, ratio, off) for off in (y, x))
        small.append(down @ image @ across.T)
    return (np.stack(small) * _soft_disc(box, diameter_A, pixel_size_A)).astype(np.float32)


def _centre_of_mass(image: np.ndarray, radius_px: float) -> tuple[float, float]:
    """Of what is bright in an image (L, L), as (y, x) from the pixel ``L // 2``; a circle follows it."""
    axis = np.arange(len(image)) - centre_index(len(image))
    mass = np.maximum(image - BRIGHT * np.percentile(image, 99), 0.0)
    y = x = 0.0
    for _ in range(FOLLOWED):
        near = mass * (np.hypot(axis[:, None] - y, axis - x) <= radius_px)
        total = near.sum()
        if not total > 0:
            return 0.0, 0.0
        y, x = float(near.sum(axis=1) @ axis / total), float(near.sum(axis=0) @ axis / total)
    return y, x


def projection_templates(volume: Volume, views: int, diameter_A: float, pixel_size_A: float) -> np.ndarray:
    """Projections (views, m, m) of a map from directions spread evenly over the sphere, masked to the diameter."""
    box = box_for(diameter_A, pixel_size_A)
    small = resample(volume, box, pixel_size_A)
    x, y, z = fibonacci_directions(views).numpy().T
    angles = np.stack([np.rad2deg(np.arctan2(y, x)), np.rad2deg(np.arccos(np.clip(z, -1, 1))), np.zeros(views)], 1)
    images = project_map(small, euler_to_matrix(torch.from_numpy(angles)).numpy())
    return images * _soft_disc(box, diameter_A, pixel_size_A).astype(np.float32)


def extent_of_map(volume: Volume) -> float:
    """Diameter in Angstrom of the smallest sphere about the centre that holds nearly all of the density."""
    data = volume.data
    axes = np.meshgrid(*[np.arange(n) - centre_index(n) for n in data.shape], indexing="ij", sparse=True)
    radius = np.sqrt(sum(np.square(axis.astype(float)) for axis in axes))
    high = data[data > 0.1 * data.max()]
    inside = radius[data > EXTENT * np.percentile(high, 90)]
    return float(2.0 * np.percentile(inside, 98) * volume.pixel_size_A)


def extent_of_images(images: np.ndarray, pixel_size_A: float) -> float:
    """Diameter in Angstrom of the circle that holds nearly all of the variation of images (n, L, L)."""
    n = images.shape[1]
    distance = _distance_A(n, 1.0)
    ring = np.rint(distance).astype(int).ravel()
    ground = np.median(images[:, distance > 0.47 * n], axis=1)
    power = np.square(images - ground[:, None, None]).mean(axis=0).ravel()
    mean = np.bincount(ring, power)[: n // 2] / np.bincount(ring)[: n // 2]
    floor = float(np.median(mean[-max(2, n // 16) :]))
    inside = np.flatnonzero(mean - floor > 0.05 * (mean.max() - floor))
    return float(2.0 * (inside.max() + 1) * pixel_size_A)


def rotated_bank(templates: np.ndarray, angles: int, pixel_size_A: float, diameter_A: float) -> Bank:
    """All in-plane rotations of templates (n, m, m), by cubic splines; a template that is flat is an error.

    A rotation by psi shows ``A(R(psi) r)``, as :mod:`vitreous.conventions` has it.
    """
    m = templates.shape[1]
    axis = np.arange(m) - centre_index(m)
    points = np.stack(np.meshgrid(axis, axis)).reshape(2, -1)  # x, y
    filters = np.empty((len(templates), angles, m, m), np.float32)
    for i, template in enumerate(templates):
        energy = float(np.square(template, dtype=np.float64).sum())
        if not (np.isfinite(energy) and energy > 0):
            raise ValueError(f"template {i + 1} is flat or not finite within the diameter; leave it out")
        for j in range(angles):
            x, y = in_plane_matrix(360.0 * j / angles) @ points + centre_index(m)
            turned = map_coordinates(template, [y, x], order=3, mode="constant").reshape(m, m)
            filters[i, j] = turned / np.sqrt(energy)
    return Bank(filters=filters.reshape(-1, m, m), angles=angles, pixel_size_A=pixel_size_A, diameter_A=diameter_A)


def _distance_A(n: int, pixel_size_A: float) -> np.ndarray:
    axis = (np.arange(n) - centre_index(n)) * pixel_size_A
    return np.hypot(axis[:, None], axis)


def _soft_disc(n: int, diameter_A: float, pixel_size_A: float) -> np.ndarray:
    rim = (_distance_A(n, pixel_size_A) - 0.5 * diameter_A) / (EDGE * diameter_A)
    return 0.5 + 0.5 * np.cos(np.pi * np.clip(rim, 0.0, 1.0))


def _band_limited(n: int, m: int, ratio: float, offset: float) -> np.ndarray:
    """Matrix (m, n) from samples about n // 2 to values ``ratio`` samples apart about m // 2; 0 outside the field.

    ``offset`` samples from n // 2 lies what becomes the centre.
    A sinc of the coarser of the two grids, which takes out what the other one cannot hold.
    """
    x = (np.arange(m) - centre_index(m)) * ratio + offset
    i = np.arange(n) - centre_index(n)
    coarse = max(1.0, ratio)
    kernel = np.sinc((x[:, None] - i) / coarse) / coarse
    kernel[np.abs(x) > 0.5 * n] = 0.0
    return kernel
