"""Images that can be rotated and shifted without interpolation: sums of Gaussian blobs, evaluated where needed."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vitreous.conventions import centre_index, in_plane_matrix
from vitreous.optics import CTFParameters
from vitreous.testing.twins import pixel_xy, twin_ctf

__all__ = ["ArrayParticles", "Blobs", "with_ctf"]


@dataclass(frozen=True, kw_only=True)
class Blobs:
    """A class image A(x, y), a sum of Gaussians.

    centres_px: (m, 2) x, y from the centre; heights: (m,); width_px: standard deviation.
    """

    centres_px: np.ndarray
    heights: np.ndarray
    width_px: float = 1.5

    @classmethod
    def random(cls, seed: int, *, count: int = 6, reach_px: float = 7.0, width_px: float = 1.5) -> "Blobs":
        """Blobs in a disc of radius ``reach_px``, without symmetry."""
        rng = np.random.default_rng(seed)
        radius, angle = reach_px * np.sqrt(rng.random(count)), 2 * np.pi * rng.random(count)
        return cls(
            centres_px=np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1),
            heights=0.5 + rng.random(count),
            width_px=width_px,
        )

    def image(self, box_px: int, psi_deg: float = 0.0, origin_px: tuple[float, float] = (0.0, 0.0)) -> np.ndarray:
        """The particle image X(r) = A(R(psi) (r + o)) of :mod:`vitreous.conventions`, float64 (L, L)."""
        r = pixel_xy(box_px) + np.asarray(origin_px)
        at = r @ in_plane_matrix(psi_deg).T
        distance = ((at[:, None, :] - self.centres_px) ** 2).sum(2)
        values = np.exp(-distance / (2 * self.width_px**2)) @ self.heights
        return values.reshape(box_px, box_px)


def with_ctf(image: np.ndarray, ctf: CTFParameters, number: int, pixel_size_A: float) -> np.ndarray:
    """An image (L, L) times the CTF of particle ``number``, circularly, by a complex FFT in float64."""
    box = len(image)
    k = np.fft.fftfreq(box)
    kx, ky = np.meshgrid(k, k)
    kx, ky = (np.where(np.isclose(np.abs(f), 0.5), 0.0, f) for f in (kx, ky))
    c = centre_index(box)
    ft = np.fft.fft2(np.roll(image, (-c, -c), (0, 1)))
    return np.roll(np.fft.ifft2(ft * twin_ctf(ctf, number, kx / pixel_size_A, ky / pixel_size_A)).real, (c, c), (0, 1))


@dataclass(frozen=True, kw_only=True)
class ArrayParticles:
    """What a method needs of a particle set, from an array (n, L, L) in memory.

    ctf None: no CTF; shift_A: (n, 2) shifts x, y that centre the images, None: centred.
    """

    images: np.ndarray
    pixel_size_A: float
    ctf: CTFParameters | None = None
    shift_A: np.ndarray | None = None
    path: Path = Path("particles-in-memory")

    def __len__(self) -> int:
        return len(self.images)

    @property
    def box_px(self) -> int:
        """Side of the images."""
        return self.images.shape[1]

    @property
    def has_ctf(self) -> bool:
        """Whether there is a CTF."""
        return self.ctf is not None

    @property
    def missing_ctf_columns(self) -> tuple[str, ...]:
        """What a file without a CTF lacks."""
        return () if self.has_ctf else ("rlnDefocusU",)

    def ctf_for(self, wanted: bool, *, premultiplied: bool = False) -> CTFParameters | None:
        """The CTF for a job that corrects it."""
        return self.ctf if wanted else None

    @property
    def bad(self) -> np.ndarray:
        """All images can be used."""
        return np.zeros(len(self), dtype=bool)

    @property
    def optics_group(self) -> np.ndarray:
        """All particles are of one group."""
        return np.zeros(len(self), np.int64)

    @property
    def micrograph(self) -> np.ndarray:
        """All particles are of one micrograph."""
        return np.zeros(len(self), np.int64)

    @property
    def origin_A(self) -> np.ndarray:
        """(n, 2) shifts that centre the images."""
        return np.zeros((len(self), 2)) if self.shift_A is None else self.shift_A

    def read(self, indices: np.ndarray) -> np.ndarray:
        """Images as float32 (m, L, L)."""
        return np.asarray(self.images[indices], np.float32)
