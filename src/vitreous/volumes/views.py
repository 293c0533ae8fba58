"""Which views there are, and what their unevenness costs.

A particle with viewing direction v gives the plane of Fourier space perpendicular to v. At radius r (Fourier pixels)
that plane, one pixel thick, holds the waves along u with ``|u v| <= 1 / (2 r)``. The share of particles that hold u,
relative to its mean over all u, is the sampling s(u); its mean is 1, and evenly spread views have s = 1 everywhere. The
signal to noise ratio of the map along u is proportional to s(u), so that

- the noise of a map in which every wave counts alike is ``mean(1 / s)`` times that of even views: its inverse is the
  sampling compensation factor (Baldwin and Lyumkis 2020, Prog. Biophys. Mol. Biol. 150, 160), 0 when anything is
  missing;
- in a map that is filtered by Wiener's rule, a wave of SSNR y keeps ``y / (1 + y)`` of its signal. At the radius where
  even views would give y = 1, as much signal as noise, uneven ones give y = s. The *efficiency* e is the share of the
  particles that would keep as much if evenly spread: ``e / (1 + e) = mean( s / (1 + s) )``. By Jensen's inequality
  e <= 1, and e = 1 for even views alone; if only a share q of the waves is in any image, e <= q (with equality when
  these are sampled evenly). It is this package's counterpart of E_od (Naydenova and Russo 2017, Nat. Commun. 8, 629),
  which is taken from the spread of the widths of the point spread function.
"""

from dataclasses import dataclass

import numpy as np

from vitreous.rotations import fibonacci_directions, healpix_directions, symmetry_matrices

__all__ = ["AngularDistribution", "ViewSampling", "angular_distribution", "view_sampling"]

_WAVES = 2000  # directions of waves on a hemisphere
_AT_ONCE = 4096  # particles


@dataclass(frozen=True, kw_only=True, eq=False)
class AngularDistribution:
    """How many particles look along each of m directions, evenly spread (HEALPix)."""

    directions: np.ndarray  # (m, 3)
    counts: np.ndarray  # (m,); a particle of a group of g rotations counts 1 / g in g places


@dataclass(frozen=True, kw_only=True, eq=False)
class ViewSampling:
    """Sampling of the waves at one radius of Fourier space."""

    directions: np.ndarray  # (m, 3) of the waves, on a hemisphere
    sampling: np.ndarray  # (m,) s(u), mean 1
    radius_px: int

    @property
    def efficiency(self) -> float:
        """Share of the particles that would keep as much of the signal if evenly spread: 0..1."""
        kept = float(np.mean(self.sampling / (1.0 + self.sampling)))
        return kept / (1.0 - kept)

    @property
    def compensation(self) -> float:
        """Sampling compensation factor: 1 over the mean of 1 / s; 0 where a wave is in no image."""
        return 0.0 if self.sampling.min() <= 0.0 else float(1.0 / np.mean(1.0 / self.sampling))

    @property
    def missing(self) -> float:
        """Share of the waves that are in no image."""
        return float((self.sampling <= 0.0).mean())

    @property
    def worst_direction(self) -> np.ndarray:
        """(3,) of the wave that is in fewest images."""
        return self.directions[int(self.sampling.argmin())]


def view_sampling(rotations: np.ndarray, radius_px: int, *, symmetry: str = "C1") -> ViewSampling:
    """Sampling of 2000 directions of waves by poses (n, 3, 3) of a particle with a point group, at a radius.

    Take the radius of the resolution reached. Raises ValueError for no poses, or a radius below 1.
    """
    if np.ndim(rotations) != 3 or not len(rotations) or radius_px < 1:
        raise ValueError(
            f"expected poses (n, 3, 3) and a radius of at least 1, found {np.shape(rotations)} and {radius_px}"
        )
    views = _views(rotations, symmetry)
    waves = fibonacci_directions(2 * _WAVES)[:_WAVES].numpy().astype(np.float32)
    hits = np.zeros(_WAVES)
    for start in range(0, len(views), _AT_ONCE):
        hits += (np.abs(views[start : start + _AT_ONCE] @ waves.T) <= 0.5 / radius_px).sum(axis=0)
    return ViewSampling(directions=waves, sampling=hits / max(hits.mean(), 1e-30), radius_px=radius_px)


def angular_distribution(rotations: np.ndarray, *, symmetry: str = "C1", nside: int = 8) -> AngularDistribution:
    """Numbers of poses (n, 3, 3) by viewing direction: 12 nside^2 directions, 7.3 degrees apart for 8."""
    centres = healpix_directions(nside).numpy().astype(np.float32)
    views = _views(rotations, symmetry)
    counts = np.zeros(len(centres))
    for start in range(0, len(views), _AT_ONCE):
        nearest = (views[start : start + _AT_ONCE] @ centres.T).argmax(axis=1)
        counts += np.bincount(nearest, minlength=len(centres))
    return AngularDistribution(directions=centres, counts=counts * len(rotations) / max(len(views), 1))


def _views(rotations: np.ndarray, symmetry: str) -> np.ndarray:
    """Viewing directions of all particles and their copies under the group: float32 (n g, 3)."""
    group = symmetry_matrices(symmetry).numpy()
    return np.einsum("gab,nb->gna", group, np.asarray(rotations)[:, :, 2]).reshape(-1, 3).astype(np.float32)
