"""What a user can say about multivariate statistical analysis."""

from dataclasses import dataclass
from typing import Literal

from vitreous.averages.msa.metric import METRICS
from vitreous.require import require, require_at_least, require_finite, require_one_of, require_positive

__all__ = ["CLUSTERINGS", "MSA"]

CLUSTERINGS = ("kmeans", "ward")


@dataclass(frozen=True, kw_only=True)
class MSA:
    """Settings of :func:`vitreous.msa`. None means: chosen from the data, and reported.

    Parameters
    ----------
    metric
        How images are compared: differences of their pixels, which is principal component analysis (euclidean); of
        their profiles, with pixels weighted by their mean, which is correspondence analysis and needs images that are
        nowhere negative (chi-square); the same with root mean squares in place of means, which takes any image
        (modulation).
    offset
        Added to all pixels for the metric chi-square, in standard deviations of the background. None: what makes the
        smallest pixel zero.
    factors
        Most factors that are computed and shown; those above the noise edge are used.
    classes
        Number of classes in factor space. None: chosen by what the noise can explain, at most 24.
    clustering
        Which classes go into the particle file: those of K-means (kmeans) or of hierarchical ascendant classification
        by Ward's criterion (ward). Both are made and compared.
    particle_diameter_A
        Diameter of the circular mask around the particle, in Angstrom. None: 7/8 of the box.
    resolution_limit_A
        Leave out what is finer than this, in Angstrom. None: nothing is left out.
    whiten
        Divide images by the noise spectrum of their background, so that noise is the same in all directions of the
        space of images.
    ctf
        Flip the phases that the CTF has turned over, and correct class averages for it. False: ignore the CTF columns.
    invert_contrast
        True when particles are dark on a bright background.
    normalise
        Set the background of every image to mean 0 and standard deviation 1 and remove its ramp.
    seed
        Of everything random.
    """

    metric: Literal["euclidean", "chi-square", "modulation"] = "euclidean"
    offset: float | None = None
    factors: int = 20
    classes: int | None = None
    clustering: Literal["kmeans", "ward"] = "kmeans"
    particle_diameter_A: float | None = None
    resolution_limit_A: float | None = None
    whiten: bool = True
    ctf: bool = True
    invert_contrast: bool = False
    normalise: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        require_finite(self)
        require_one_of(self, "metric", METRICS)
        require_one_of(self, "clustering", CLUSTERINGS)
        require_at_least(self, {"factors": 1, "classes": 1})
        require_positive(self, ("particle_diameter_A", "resolution_limit_A"))
        usable = self.offset is None or self.metric == "chi-square"
        require(self, "offset", usable, 'nothing, since only the metric "chi-square" uses it')
