"""How images are compared: one form for principal components, correspondence analysis and modulation analysis.

An image is a row x_i of p pixels. It has a size s_i, a weight w_i = s_i / sum s, and a profile x_i / s_i; the centre is
the weighted mean profile, ``c = sum_i w_i x_i / s_i = sum_i x_i / sum_i s_i``; pixels are divided by a scale d:

    metric       s_i                    d_j                                 distance of two images
    euclidean    1                      1                                   of their pixels
    chi-square   sum_j x_ij             sqrt(c_j)                           chi-square, of their shares of density
    modulation   sqrt(sum_j x_ij^2)     sqrt(m_j / sum m), m_j rms of j     of their shares of modulation

Factors are the eigenvectors v of ``sum_i w_i y_i y_i^T`` with ``y_i = (x_i / s_i - c) / d``, coordinates are
``y_i . v``, and an image is reconstituted as ``s_i (c + d * sum_k (y_i . v_k) v_k)``.

With s and d as for chi-square this is correspondence analysis: the eigenvalues sum up to chi-square over the total
density. It needs densities that are nowhere negative, which images with a background of mean zero are not. A constant
``offset`` makes them so. That is the usual remedy, and it has a limit: with a large constant all s_i and all c_j become
equal, and what is left is the Euclidean metric for images without their mean. The modulation metric was proposed for
such images: sizes and scales are root mean squares and not means, so they exist whatever the sign.

Sources: Lebart, Morineau, Warwick, Multivariate descriptive statistical analysis (1984); van Heel and Frank,
Ultramicroscopy 6, 187 (1981); Borland and van Heel, J. Opt. Soc. Am. A 7, 601 (1990).
"""

from dataclasses import dataclass

import numpy as np

__all__ = ["METRICS", "Metric", "Moments", "metric_of"]

METRICS = ("euclidean", "chi-square", "modulation")
_TINY = 1e-12


@dataclass(frozen=True, kw_only=True, eq=False)
class Moments:
    """What one pass finds of m images with p pixels.

    pixel_sum, pixel_square: (p,) sums over images of x and x^2; image_sum, image_square: (m,) the same over pixels;
    lowest: the smallest pixel. All float64.
    """

    pixel_sum: np.ndarray
    pixel_square: np.ndarray
    image_sum: np.ndarray
    image_square: np.ndarray
    lowest: float

    @classmethod
    def of(cls, rows: np.ndarray) -> "Moments":
        """Of some images (b, p)."""
        x = rows.astype(np.float64)
        squared = x**2
        return cls(
            pixel_sum=x.sum(0), pixel_square=squared.sum(0), image_sum=x.sum(1), image_square=squared.sum(1),
            lowest=float(x.min()),
        )  # fmt: skip

    def then(self, other: "Moments") -> "Moments":
        """Of these images and of others that follow them."""
        return Moments(
            pixel_sum=self.pixel_sum + other.pixel_sum,
            pixel_square=self.pixel_square + other.pixel_square,
            image_sum=np.concatenate([self.image_sum, other.image_sum]),
            image_square=np.concatenate([self.image_square, other.image_square]),
            lowest=min(self.lowest, other.lowest),
        )

    @property
    def mean(self) -> np.ndarray:
        """(p,) the average image."""
        return self.pixel_sum / len(self.image_sum)


@dataclass(frozen=True, kw_only=True, eq=False)
class Metric:
    """centre, scale: (p,); size: (m,) of all images; offset: added to all pixels."""

    centre: np.ndarray
    scale: np.ndarray
    size: np.ndarray
    offset: float

    @property
    def weight(self) -> np.ndarray:
        """(m,) of the images, sum 1."""
        return self.size / self.size.sum()

    def profiles(self, rows: np.ndarray, index: slice) -> np.ndarray:
        """y of the images (b, p) that stand at ``index``: float32 (b, p)."""
        size = self.size[index, None].astype(np.float32)
        centre, scale = self.centre.astype(np.float32), self.scale.astype(np.float32)
        return ((rows + np.float32(self.offset)) / size - centre) / scale

    def reconstituted(self, coordinates: np.ndarray, vectors: np.ndarray, size: np.ndarray) -> np.ndarray:
        """Images (b, p) from coordinates (b, k) on factors (p, k); size: (b,)."""
        y = coordinates @ vectors.T
        return size[:, None] * (self.centre + self.scale * y) - self.offset

    @property
    def size_variance(self) -> float:
        """What the sizes of the images would vary by along one direction, had they not been divided out.

        Of noise that is strongest at low frequencies the strongest part goes with the sizes; its level is looked for
        there where it is asked what noise can do.
        """
        relative = self.size.std() / self.size.mean()
        return float(relative**2 * (self.centre**2 / self.scale**2).sum())

    @property
    def unevenness(self) -> float:
        """How far the metric is from one with equal weights for all pixels: sd over mean of the squared scale."""
        squared = self.scale**2
        return float(squared.std() / squared.mean())


def metric_of(kind: str, moments: Moments, offset: float | None = None) -> Metric:
    """The metric ``kind`` for images with these moments.

    Raises ValueError, with the value that would do, for an offset that leaves pixels negative.
    """
    count, pixels = len(moments.image_sum), len(moments.pixel_sum)
    if kind == "euclidean":
        return Metric(centre=moments.mean, scale=np.ones(pixels), size=np.ones(count), offset=0.0)
    if kind == "modulation":
        size = np.sqrt(moments.image_square).clip(_TINY)
        modulation = np.sqrt(moments.pixel_square).clip(_TINY)
        scale = np.sqrt(modulation / modulation.sum())
        return Metric(centre=moments.pixel_sum / size.sum(), scale=scale, size=size, offset=0.0)
    needed = max(0.0, -moments.lowest)
    added = needed if offset is None else offset
    if added < needed:
        raise ValueError(
            f"offset: expected at least {needed:.4g}, since the smallest pixel is {moments.lowest:.4g} and "
            f"correspondence analysis needs images that are nowhere negative; found {added:g}"
        )
    size = (moments.image_sum + pixels * added).clip(_TINY)
    centre = (moments.pixel_sum + count * added) / size.sum()
    return Metric(centre=centre, scale=np.sqrt(centre.clip(_TINY)), size=size, offset=added)
