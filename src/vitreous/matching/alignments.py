"""An alignment: which reference a particle shows, and how it is turned, shifted and reflected onto it.

With r = (x, y) from the centre of the image and r' from that of the reference (:mod:`vitreous.conventions`),

    r' = F^mirror R(psi) (r + o),        F = diag(-1, 1),

so the image is ``X(r) = A(r')``. Alignments form a group: :meth:`Alignments.inverse` and :meth:`Alignments.then` are
what stability and reproducibility of classifications are made of. The other frame that the core uses is that of the
reference before its reflection, ``u = R(psi) o``; the conversion is written here and nowhere else.
"""

from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np

from vitreous.particles import ParticleSet, Table
from vitreous.words import brief

__all__ = ["Alignments", "class_numbers", "dealt_in_turn", "turned", "wrapped_deg"]

MOST_CLASSES = 100_000  # more are a mistake in a file, and an array for each would not fit


def class_numbers(table: Table, path: Path) -> np.ndarray:
    """rlnClassNumber of particles: (n,) int from 1, 0 for none. ValueError for what is no number of a class."""
    number = np.nan_to_num(table.numbers("rlnClassNumber"))
    wrong = np.flatnonzero((number != np.floor(number)) | (number > MOST_CLASSES))
    if len(wrong):
        raise ValueError(
            f"{path}: particle {wrong[0] + 1} has the class {number[wrong[0]]:g} (rlnClassNumber); expected a whole "
            f"number, at most {MOST_CLASSES:,}"
        )
    return np.maximum(number, 0).astype(np.int64)


def dealt_in_turn(reference: np.ndarray) -> np.ndarray:
    """Halves 0 and 1 (m,) of members with references (m,): dealt in turn, class after class."""
    order = np.argsort(reference, kind="stable")
    half = np.empty(len(reference), np.int64)
    half[order] = np.arange(len(reference)) % 2
    return half


def turned(vectors: np.ndarray, angle_rad: np.ndarray) -> np.ndarray:
    """R(angle) applied to vectors (m, 2) of x, y; angles (m,) in radians.

    >>> turned(np.array([[1.0, 0.0]]), np.array([np.pi / 2])).round(6).tolist()
    [[0.0, 1.0]]
    """
    c, s = np.cos(angle_rad), np.sin(angle_rad)
    x, y = vectors[:, 0], vectors[:, 1]
    return np.stack([c * x - s * y, s * x + c * y], axis=1)


def wrapped_deg(angle_deg: np.ndarray) -> np.ndarray:
    """Angles in [-180, 180) degrees."""
    return (np.asarray(angle_deg) + 180) % 360 - 180


@dataclass(frozen=True, kw_only=True, eq=False)
class Alignments:
    """m alignments.

    particle: (m,) int64 rows of the particle table; reference: (m,) int64 from 0, -1 where there is none; psi_rad:
    (m,); origin_A: (m, 2) x, y, the shift that centres the image; mirror: (m,) bool.
    """

    __repr__ = brief

    particle: np.ndarray
    reference: np.ndarray
    psi_rad: np.ndarray
    origin_A: np.ndarray
    mirror: np.ndarray

    def __len__(self) -> int:
        return len(self.particle)

    @classmethod
    def unknown(cls, n: int) -> "Alignments":
        """Particles 0 ... n - 1, centred and not turned, without a reference."""
        return cls(
            particle=np.arange(n),
            reference=np.full(n, -1, np.int64),
            psi_rad=np.zeros(n),
            origin_A=np.zeros((n, 2)),
            mirror=np.zeros(n, bool),
        )

    @classmethod
    def from_shifts(
        cls, particle: np.ndarray, reference: np.ndarray, psi_rad: np.ndarray, shift_A: np.ndarray
    ) -> "Alignments":
        """Without mirror, from shifts u (m, 2) in the frame of the reference: ``o = R(-psi) u``."""
        psi = np.asarray(psi_rad, np.float64)
        return cls(
            particle=np.asarray(particle, np.int64),
            reference=np.asarray(reference, np.int64),
            psi_rad=psi,
            origin_A=turned(np.asarray(shift_A, np.float64), -psi),
            mirror=np.zeros(len(psi), bool),
        )

    @classmethod
    def from_particles(cls, particles: ParticleSet) -> "Alignments":
        """Those that a particle table has, of all its particles: reference -1 where rlnClassNumber is 0 or no number.

        ``rlnIsFlip`` marks particles that show the mirror image of their class. Without a column of angles or
        classes, particles are not turned and have no reference. Raises ValueError for what is no class number.
        """
        table, n = particles.table, len(particles)
        number = class_numbers(table, particles.path) if "rlnClassNumber" in table else np.zeros(n, np.int64)
        psi = table.numbers("rlnAnglePsi") if "rlnAnglePsi" in table else np.zeros(n)
        mirror = table.numbers("rlnIsFlip") > 0 if "rlnIsFlip" in table else np.zeros(n, bool)
        return cls(
            particle=np.arange(n),
            reference=number - 1,
            psi_rad=np.deg2rad(psi),
            origin_A=particles.origin_A,
            mirror=mirror,
        )

    def columns(self) -> dict[str, np.ndarray]:
        """RELION's columns: class number from 1, angle in degrees, origins in Angstrom; rlnIsFlip where one is."""
        origin = {f"rlnOrigin{axis}Angst": self.origin_A[:, i] for i, axis in enumerate("XY")}
        flip = {"rlnIsFlip": self.mirror.astype(int)} if self.mirror.any() else {}
        return {"rlnClassNumber": self.reference + 1, "rlnAnglePsi": self.psi_deg, **origin, **flip}

    @property
    def psi_deg(self) -> np.ndarray:
        """(m,) in [-180, 180)."""
        return wrapped_deg(np.rad2deg(self.psi_rad))

    @property
    def shift_A(self) -> np.ndarray:
        """Shifts u (m, 2) in the frame of the reference before its reflection: ``u = R(psi) o``."""
        return turned(self.origin_A, self.psi_rad)

    @property
    def known(self) -> np.ndarray:
        """(m,) bool: numbers that can be used, and a reference."""
        return (self.reference >= 0) & np.isfinite(self.psi_rad) & np.isfinite(self.origin_A).all(1)

    def take(self, index: np.ndarray | slice) -> "Alignments":
        """Some of them."""
        return Alignments(**{f.name: getattr(self, f.name)[index] for f in fields(self)})

    def of_references(self, first: int, stop: int) -> "Alignments":
        """Those of references first ... stop - 1, which are then counted from 0."""
        part = self.take(np.flatnonzero((self.reference >= first) & (self.reference < stop)))
        return replace(part, reference=part.reference - first)

    def put(self, new: "Alignments") -> "Alignments":
        """With ``new`` in the places of its particles; these alignments are of particles 0 ... n - 1."""

        def with_new(old: np.ndarray, values: np.ndarray) -> np.ndarray:
            out = old.copy()
            out[new.particle] = values
            return out

        return Alignments(**{f.name: with_new(getattr(self, f.name), getattr(new, f.name)) for f in fields(self)})

    def recentred(self, centre_A: np.ndarray) -> "Alignments":
        """When every reference k is shifted so that its point ``centre_A[k]`` (K, 2) becomes its centre."""
        centre = self._reflected(centre_A[self.reference])
        return replace(self, origin_A=self.origin_A - turned(centre, -self.psi_rad))

    def inverse(self) -> "Alignments":
        """Reference to image: with it, ``a.then(a.inverse())`` leaves every point where it is."""
        sign = np.where(self.mirror, 1.0, -1.0)
        return replace(self, psi_rad=sign * self.psi_rad, origin_A=-self._reflected(self.shift_A))

    def then(self, other: "Alignments") -> "Alignments":
        """First these, then the other ones (of the same m particles): ``r'' = other(self(r))``; their references.

        ``a.inverse().then(b)`` takes the frame of the references of a to that of b.
        """
        sign = np.where(self.mirror, -1.0, 1.0)
        back = turned(self._reflected(other.origin_A), -self.psi_rad)
        return replace(
            other,
            particle=self.particle,
            psi_rad=self.psi_rad + sign * other.psi_rad,
            origin_A=self.origin_A + back,
            mirror=self.mirror ^ other.mirror,
        )

    def points(self, at_A: np.ndarray) -> np.ndarray:
        """Where points (m, 2) of the images lie in the references: r' of the module docstring, (m, 2)."""
        return self._reflected(turned(at_A + self.origin_A, self.psi_rad))

    def _reflected(self, vectors: np.ndarray) -> np.ndarray:
        """F^mirror applied to vectors (m, 2)."""
        return vectors * np.stack([np.where(self.mirror, -1.0, 1.0), np.ones(len(self))], axis=1)
