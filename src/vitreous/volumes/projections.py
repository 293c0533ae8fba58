"""What a map looks like in the poses of images."""

from dataclasses import dataclass

import numpy as np
import torch

from vitreous.fourier import central_slices, centred_irfft2, fourier_crop, fourier_pad, prepare_volume, shift_phase
from vitreous.optics import CTFParameters, ctf_2d
from vitreous.particles import Volume

__all__ = ["Projector", "project_map", "projector"]

_AT_ONCE = 64  # images


@dataclass(frozen=True, kw_only=True, eq=False)
class Projector:
    """A map that is ready to be projected, and the grid of the images; :func:`projector` makes it."""

    volume_ft: torch.Tensor  # of fourier.prepare_volume
    side: int  # of the map
    scale: float  # from sums over voxels to integrals over Angstrom
    box_px: int
    pixel_size_A: float

    def __call__(
        self, rotations: np.ndarray, origins_A: np.ndarray | None = None, *, ctf: CTFParameters | None = None
    ) -> np.ndarray:
        """Projections for poses (n, 3, 3), origins (n, 2) and a CTF of n particles: float32 (n, box_px, box_px).

        Raises ValueError where their numbers differ.
        """
        n = len(rotations)
        origins = np.zeros((n, 2)) if origins_A is None else np.asarray(origins_A, dtype=np.float64)
        if origins.shape != (n, 2) or np.shape(rotations) != (n, 3, 3) or (ctf is not None and len(ctf) != n):
            raise ValueError(
                f"expected poses (n, 3, 3), origins (n, 2) and a CTF for each, found {np.shape(rotations)}, "
                f"{origins.shape} and {'no CTF' if ctf is None else len(ctf)}"
            )
        out = np.empty((n, self.box_px, self.box_px), np.float32)
        for start in range(0, n, _AT_ONCE):
            rows = np.arange(start, min(start + _AT_ONCE, n))
            out[rows] = self._some(rotations[rows], origins[rows], None if ctf is None else ctf.take(rows))
        return out

    def _some(self, rotations: np.ndarray, origins_A: np.ndarray, ctf: CTFParameters | None) -> np.ndarray:
        matrices = torch.from_numpy(np.ascontiguousarray(rotations)).float()
        slices = central_slices(self.volume_ft, matrices, self.side)
        resized = (fourier_crop if self.box_px <= self.side else fourier_pad)(slices, self.side, self.box_px)
        moved = resized * shift_phase(torch.from_numpy(-origins_A / self.pixel_size_A).float(), self.box_px)
        if ctf is not None:
            moved = moved * ctf_2d(ctf, self.box_px, self.pixel_size_A)
        return (centred_irfft2(moved, self.box_px) * self.scale).numpy()


def projector(volume: Volume, box_px: int | None = None, pixel_size_A: float | None = None) -> Projector:
    """A cubic map that is ready to be projected, on images of its own grid or another one of the same field.

    Raises ValueError where the images do not cover the field of the map to half a pixel: the map can be brought to
    their grid before (:func:`vitreous.volumes.resample`).
    """
    side = volume.box_px
    box, pixel = box_px or side, pixel_size_A or volume.pixel_size_A
    if abs(side * volume.pixel_size_A - box * pixel) > 0.5 * pixel:
        raise ValueError(
            f"the map is {side * volume.pixel_size_A:.1f} A wide and the images {box * pixel:.1f} A; projections "
            "need a map of the same field"
        )
    return Projector(
        volume_ft=prepare_volume(torch.from_numpy(np.ascontiguousarray(volume.data))),
        side=side,
        scale=volume.pixel_size_A,
        box_px=box,
        pixel_size_A=pixel,
    )


def project_map(
    volume: Volume,
    rotations: np.ndarray,
    origins_A: np.ndarray | None = None,
    box_px: int | None = None,
    pixel_size_A: float | None = None,
    *,
    ctf: CTFParameters | None = None,
) -> np.ndarray:
    """Projections of a cubic map for poses (n, 3, 3) and origins (n, 2): float32 (n, box_px, box_px).

    Integrals of the density along the line of sight (density times Angstrom), by central slices, trilinear on a grid
    that is oversampled twice; times the CTF where there is one. The images cover the field of the map, in pixels of
    their own; ValueError where they do not.
    """
    return projector(volume, box_px, pixel_size_A)(rotations, origins_A, ctf=ctf)
