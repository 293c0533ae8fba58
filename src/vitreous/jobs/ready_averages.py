"""Averages of any program as a model can take them: background zero, particles white, neighbours masked."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from vitreous.averages.deconvolve.masks import automatic_mask
from vitreous.conventions import centre_index
from vitreous.quality import AverageContrast, average_contrast, background_levels, border_of

__all__ = ["AverageContrastName", "ReadyAverages", "is_dark", "ready_averages"]

AverageContrastName = Literal["white", "dark"]
_GREY = 0.02  # of the highest value: a background below that is one that has been taken off
_ROUNDING = 1e-3  # of the positive sum: negative values that a file format leaves
_CIRCLE = 7 / 16  # of the box: radius that a mask leaves parts of a particle in
_SEEN = 0.47  # of the box: what is farther out is no part of a particle
_EDGE = 1 / 16  # of the box: softness of the edge of a mask
_LITTLE = 0.02  # of the particle's standard deviation: a border that varies less has been masked


@dataclass(frozen=True, kw_only=True, eq=False)
class ReadyAverages:
    """images: (n, L, L), background 0, particles white; signed: whether negative pixels mean something."""

    images: np.ndarray
    signed: bool
    notes: tuple[str, ...]


def ready_averages(
    images: np.ndarray, pixel_size_A: float, contrast: AverageContrastName | None = None, *, mask: bool = True
) -> ReadyAverages:
    """Averages (n, L, L), none of them constant, whatever their scale and contrast.

    ``contrast``: where it is known; ``mask``: whether what is beside the particle (neighbours, noise) is masked, in
    averages that nobody has masked yet. Averages that are nowhere negative on a background of zero, as deconvolution
    leaves them, stay as they are. Raises ValueError where some particles are clearly light and others clearly dark.
    """
    if not np.isfinite(images).all():
        return ReadyAverages(images=images, signed=False, notes=())  # the model says which, and what to do
    level = background_levels(images)
    dark, notes = is_dark(average_contrast(images), contrast)
    if not dark and (images >= 0).all() and (level <= _GREY * images.max(axis=(1, 2))).all():
        return ReadyAverages(images=images, signed=False, notes=notes)
    grey = np.count_nonzero(np.abs(level) > _GREY * np.ptp(images, axis=(1, 2)))
    if not dark and not grey and not mask:
        return ReadyAverages(images=images, signed=bool((_negative(images) > _ROUNDING).any()), notes=notes)
    ready = images.astype(np.float64) - level[:, None, None]
    ready = -ready if dark else ready
    if grey:
        low, high = np.quantile(level, [0.1, 0.9])
        notes = (
            *notes,
            f"the background of {grey} of {len(images)} averages is not zero (border {low:.3g} to {high:.3g}, values "
            f"{images.min():.3g} to {images.max():.3g}): it was taken off",
        )
    open_ = _unmasked(ready) if mask else np.array([], dtype=np.int64)
    for i in open_.tolist():
        ready[i] *= _mask_of(ready[i], pixel_size_A)
    if len(open_):
        notes = (*notes, f"what is beside the particle was masked in {len(open_)} of {len(images)} averages")
    signed = bool((_negative(ready) > _ROUNDING).any())
    return ReadyAverages(images=ready if signed else ready.clip(min=0.0), signed=signed, notes=notes)


def is_dark(found: AverageContrast, stated: AverageContrastName | None) -> tuple[bool, tuple[str, ...]]:
    """Whether averages are turned over, and what is said about it; ValueError where they are of both contrasts."""
    n = found.lighter + found.darker + found.neither
    if stated is not None:
        opposite = {"white": "dark", "dark": "white"}[stated]
        doubt = (f"particles are said to be {stated}, and seem to be {opposite}",)
        return stated == "dark", doubt if found.verdict == opposite else ()
    if found.verdict == "mixed":
        raise ValueError(
            f"particles are lighter than their background in {found.lighter} averages and darker in {found.darker} of "
            f"{n}; bring them to one contrast, or leave out what is junk (`vitreous initial` also takes --contrast)"
        )
    if found.verdict == "dark":
        return True, (
            f"particles are darker than their background in {found.darker} of {n} averages, and all were turned over",
        )
    if found.verdict == "unclear":
        return False, (
            "whether particles are lighter or darker than their background is not clear (lighter in "
            f"{found.lighter} of {n} averages, darker in {found.darker}); they are taken for white",
        )
    return False, ()


def _negative(images: np.ndarray) -> np.ndarray:
    """Sum of the negative values over that of the positive ones, (n,)."""
    positive = images.clip(min=0.0).sum(axis=(1, 2))
    below = images.clip(max=0.0).sum(axis=(1, 2))
    return -below / np.maximum(positive, np.finfo(float).tiny)


def _unmasked(images: np.ndarray) -> np.ndarray:
    """Averages whose border is not of one value."""
    border = images[:, border_of(images.shape[1])]
    return np.flatnonzero(np.sqrt(np.square(border).mean(axis=1)) > _LITTLE * images.std(axis=(1, 2)))


def _mask_of(image: np.ndarray, pixel_size_A: float) -> np.ndarray:
    """Around what rises above the background; 1 everywhere for an average in which nothing does."""
    side = len(image)
    axis = np.arange(side) - centre_index(side)
    seen = image.clip(min=0.0) * (np.hypot(axis[:, None], axis) < _SEEN * side)
    mask = automatic_mask(seen, pixel_size_A, _CIRCLE * side, edge_px=max(3.0, _EDGE * side))
    return mask if mask.any() else np.ones_like(mask)
