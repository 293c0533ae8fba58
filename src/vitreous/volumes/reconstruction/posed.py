"""Particles whose poses are known: what every method of reconstruction is given."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch

from vitreous.matching import ImagePreparation
from vitreous.optics import CTFParameters
from vitreous.randomness import uniforms

__all__ = ["PosedParticles", "random_halves"]


@dataclass(frozen=True, kw_only=True, eq=False)
class PosedParticles:
    """n particles with poses: ``X_i = C_i S(o_i) P(G_i) V + noise``, with noise of power sigma^2(k) per group.

    Parameters
    ----------
    read
        Indices (m,) -> original images (m, L, L); a batch is read at a time.
    preparation
        Box, pixel size and normalisation of the images (:meth:`vitreous.matching.ImagePreparation.clean`).
    ctf
        Of all particles, with astigmatism and phase plates; None for images without one (class averages).
    rotations
        (n, 3, 3) G of :mod:`vitreous.conventions`. A particle whose pose is not a number has no weight.
    origins_A
        (n, 2) shifts that centre the images, in Angstrom.
    half
        (n,) 0 or 1, the half-set of each particle (:func:`random_halves`); None: particles take turns.
    weights
        (n,) not negative; None: 1. A weight of 0 is as good as absence: the image is not read.
    scale
        (n,) contrast, which the CTF is multiplied by; None: 1.
    noise_group, noise_power
        (n,) int and (groups, L // 2 + 1): sigma^2 per pixel and ring, relative between groups and rings; None: 1.
    spread
        Indices (m,) -> poses (m, J, 3, 3) and origins (m, J, 2) of equal weight that stand for the posteriors of
        particles; None: each at its pose. ART takes the poses.
    """

    read: Callable[[np.ndarray], np.ndarray]
    preparation: ImagePreparation
    ctf: CTFParameters | None
    rotations: np.ndarray
    origins_A: np.ndarray
    half: np.ndarray | None = None
    weights: np.ndarray | None = None
    noise_group: np.ndarray | None = None
    noise_power: torch.Tensor | None = None
    spread: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]] | None = None
    scale: np.ndarray | None = None

    def __post_init__(self) -> None:
        n = len(self.rotations)
        expected = {"rotations": (n, 3, 3), "origins_A": (n, 2), "half": (n,), "weights": (n,), "scale": (n,)}
        expected["noise_group"] = (n,)
        for name, shape in expected.items():
            value = getattr(self, name)
            if value is not None and np.shape(value) != shape:
                raise ValueError(f"{name}: expected shape {shape}, found {np.shape(value)}")
        if self.ctf is not None and len(self.ctf) != n:
            raise ValueError(f"ctf: expected the parameters of {n} particles, found {len(self.ctf)}")
        if self.half is not None and not np.isin(self.half, (0, 1)).all():
            raise ValueError(f"half: expected 0 or 1, found {np.unique(self.half)[:5]}")
        if self.weights is not None and not (np.isfinite(self.weights) & (np.asarray(self.weights) >= 0)).all():
            raise ValueError("weights: expected numbers that are not negative")
        if (self.noise_group is None) != (self.noise_power is None):
            raise ValueError("noise_group and noise_power belong together; give both or neither")

    def __len__(self) -> int:
        return len(self.rotations)

    @cached_property
    def unusable(self) -> np.ndarray:
        """(n,) bool: pose, origin or defocus is not a number."""
        wrong = ~np.isfinite(self.rotations).all((1, 2)) | ~np.isfinite(self.origins_A).all(1)
        if self.ctf is not None:
            wrong |= ~np.isfinite(self.ctf.defocus_u_A + self.ctf.defocus_v_A + self.ctf.defocus_angle_deg)
        return wrong

    @cached_property
    def weight(self) -> np.ndarray:
        """(n,) float64, 0 for those that are unusable."""
        given = np.ones(len(self)) if self.weights is None else np.asarray(self.weights, np.float64)
        return np.where(self.unusable, 0.0, given)

    @cached_property
    def half_of(self) -> np.ndarray:
        """(n,) 0 or 1."""
        return np.arange(len(self)) % 2 if self.half is None else np.asarray(self.half)

    def poses(self, index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Rotations (m, J, 3, 3) and origins (m, J, 2) that particles are inserted at, with equal weights."""
        if self.spread is None:
            return self.rotations[index][:, None], self.origins_A[index][:, None]
        return self.spread(index)

    @property
    def used(self) -> np.ndarray:
        """Indices of the particles that have a weight."""
        return np.flatnonzero(self.weight > 0)


def random_halves(n: int, seed: int) -> np.ndarray:
    """Half-sets (n,) 0 or 1 of equal size by chance; every particle's half depends on the seed and n alone."""
    order = np.argsort(uniforms(seed, "half-sets", ids=np.arange(n))[:, 0], kind="stable")
    half = np.empty(n, np.int64)
    half[order] = np.arange(n) % 2
    return half
