"""What multivariate statistical analysis returns."""

from dataclasses import dataclass

import numpy as np

from vitreous.matching import Alignments
from vitreous.words import brief

__all__ = ["FactorMap", "MSAResult"]


@dataclass(frozen=True, kw_only=True, eq=False)
class FactorMap:
    """Averages of the images in the cells of a map of two factors, where a cell has enough of them.

    first, second: the factors, from 0; centre: (c, 2) mean coordinates; images: (c, L, L); count: (c,).
    """

    __repr__ = brief

    first: int
    second: int
    centre: np.ndarray
    images: np.ndarray
    count: np.ndarray


@dataclass(frozen=True, kw_only=True, eq=False)
class MSAResult:
    """n particles of which m are used, box L, k factors, K classes, l branches of the tree.

    Images of the analysis have phases flipped and are whitened if that was asked for; averages of classes come from the
    original pixels. Particles that are not used have coordinates NaN and label -1.
    """

    __repr__ = brief

    pixel_size_A: float
    particle_diameter_A: float
    mask: np.ndarray  # (L, L) bool
    average: np.ndarray  # (L, L) of the images of the analysis, 0 outside the mask
    eigenimages: np.ndarray  # (k, L, L) what a unit of a coordinate adds to an image of mean size
    eigenvalues: np.ndarray  # (k,) falling
    spectrum: np.ndarray  # all eigenvalues that are known
    total_variance: float  # their sum, with those that are not known
    noise_edge: float  # the largest eigenvalue of noise, on average
    noise_limit: float  # what one set of noise in a thousand exceeds
    significant: int  # factors above the limit
    signal_variance: np.ndarray  # (k,) of the coordinates, without that of noise
    noise_variance: np.ndarray  # (k,)
    likeness: np.ndarray  # (k, 3) shares explained by errors of alignment, contrast, defocus
    unevenness: float  # of the weights of pixels; 0: as in principal component analysis
    offset: float  # that was added to all pixels
    coordinates: np.ndarray  # (n, k)
    label: np.ndarray  # (n,) class from 0
    kmeans_label: np.ndarray  # (n,)
    ward_label: np.ndarray  # (n,)
    agreement: float  # adjusted Rand index of the two
    scores: np.ndarray  # of 1, 2, ... classes; empty where the number was given
    branches: np.ndarray  # (l - 1, 4) the upper part of the tree, in SciPy's format
    branch_images: np.ndarray  # (l, L, L) average of the images of every branch
    averages: np.ndarray  # (K, L, L) from the original pixels, Wiener filtered, CTF corrected
    halves: np.ndarray  # (2, K, L, L)
    frc: np.ndarray  # (K, F)
    resolution_A: np.ndarray  # (K,) where the FRC falls below 0.143; inf: nothing resolved
    maps: tuple[FactorMap, ...]
    examples: np.ndarray  # (e,) rows of some particles
    example_images: np.ndarray  # (e, 2, L, L) images of the analysis, and reconstituted from the significant factors
    alignments: Alignments  # of all n particles, with their classes
    messages: tuple[str, ...] = ()

    @property
    def found_signal(self) -> bool:
        """Whether any factor exceeds what noise has."""
        return self.significant > 0

    @property
    def population(self) -> np.ndarray:
        """(K,) members of the classes."""
        return np.bincount(self.label[self.label >= 0], minlength=len(self.averages))
