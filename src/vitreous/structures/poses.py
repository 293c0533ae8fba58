"""A pose: which volume a particle shows, and how it is turned and shifted.

With the conventions of :mod:`vitreous.conventions`, an image is ``X(r) = integral of V(G (r + o, z)) over z``, or in
Fourier space ``X(k) = V(G k) exp(2 pi i k . o)``: o is the shift that centres the image.
"""

from dataclasses import dataclass, fields

import numpy as np
import torch

from vitreous.matching import Alignments
from vitreous.particles import ParticleSet
from vitreous.rotations import euler_to_matrix, matrix_to_euler
from vitreous.words import brief

__all__ = ["Poses"]

ANGLES = ("rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi")


@dataclass(frozen=True, kw_only=True, eq=False)
class Poses:
    """m poses.

    particle: (m,) int64 rows of the particle table; volume: (m,) int64 from 0, -1 where the pose is not known;
    rotation: (m, 3, 3) G; origin_A: (m, 2) x, y.
    """

    __repr__ = brief

    particle: np.ndarray
    volume: np.ndarray
    rotation: np.ndarray
    origin_A: np.ndarray

    def __len__(self) -> int:
        return len(self.particle)

    @classmethod
    def unknown(cls, n: int) -> "Poses":
        """Particles 0 ... n - 1 without a pose."""
        return cls(
            particle=np.arange(n),
            volume=np.full(n, -1, np.int64),
            rotation=np.tile(np.eye(3), (n, 1, 1)),
            origin_A=np.zeros((n, 2)),
        )

    @classmethod
    def from_particles(cls, particles: ParticleSet) -> "Poses":
        """Those of a particle table, of all its particles: volume -1 where an angle or an origin is no number.

        The volume is rlnClassNumber - 1 where there is such a column. ValueError where a column of angles is missing.
        """
        table, n = particles.table, len(particles)
        missing = [name for name in ANGLES if name not in table]
        if missing:
            raise ValueError(f"{particles.path}: no column {', '.join(missing)}; the poses of the particles are needed")
        angles = np.stack([table.numbers(name) for name in ANGLES], axis=1)
        origin = np.asarray(particles.origin_A, np.float64)
        good = np.isfinite(angles).all(1) & np.isfinite(origin).all(1)
        number = table.numbers("rlnClassNumber") if "rlnClassNumber" in table else np.ones(n)
        volume = np.maximum(np.nan_to_num(number), 0).astype(np.int64) - 1
        return cls(
            particle=np.arange(n),
            volume=np.where(good, volume, -1),
            rotation=euler_to_matrix(torch.from_numpy(np.where(good[:, None], angles, 0.0))).numpy(),
            origin_A=np.where(good[:, None], origin, 0.0),
        )

    @classmethod
    def from_alignments(cls, alignments: Alignments, slices: np.ndarray, volume: np.ndarray | int = 0) -> "Poses":
        """Of particles that are aligned to slices at matrices (D, 3, 3), ``G = G_d Rz(psi)``.

        volume: which one each slice (D,) is of.
        """
        c, s = np.cos(alignments.psi_rad), np.sin(alignments.psi_rad)
        turn = np.tile(np.eye(3), (len(alignments), 1, 1))
        turn[:, 0, 0], turn[:, 0, 1], turn[:, 1, 0], turn[:, 1, 1] = c, -s, s, c
        which = np.broadcast_to(np.asarray(volume, np.int64), (len(slices),))
        known = alignments.reference >= 0
        return cls(
            particle=alignments.particle,
            volume=np.where(known, which[alignments.reference], -1),
            rotation=slices[alignments.reference] @ turn,
            origin_A=alignments.origin_A,
        )

    def columns(self) -> dict[str, np.ndarray]:
        """RELION's columns: Euler angles in degrees, origins in Angstrom."""
        angles = matrix_to_euler(torch.from_numpy(self.rotation)).numpy()
        origin = {f"rlnOrigin{axis}Angst": self.origin_A[:, i] for i, axis in enumerate("XY")}
        return {**{name: angles[:, i] for i, name in enumerate(ANGLES)}, **origin}

    @property
    def known(self) -> np.ndarray:
        """(m,) bool."""
        return np.asarray(self.volume >= 0)

    def take(self, index: np.ndarray | slice) -> "Poses":
        """Some of them."""
        return Poses(**{f.name: getattr(self, f.name)[index] for f in fields(self)})

    def put(self, new: "Poses") -> "Poses":
        """With ``new`` in the places of its particles; these poses are of particles 0 ... n - 1."""

        def with_new(old: np.ndarray, values: np.ndarray) -> np.ndarray:
            out = old.copy()
            out[new.particle] = values
            return out

        return Poses(**{f.name: with_new(getattr(self, f.name), getattr(new, f.name)) for f in fields(self)})
