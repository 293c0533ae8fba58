"""What particles add to several volumes at once, and the volumes that follow.

The model of classes (:mod:`.passes`) is written for what the mean map M leaves over of an image at its pose,

    y_i = x_i - c_i A_i M = c_i A_i D_k + noise,      D_k = V_k - M,   D_k ~ N(0, tau_k^2)

so that a class is a difference from the mean. Its prior is centred on the mean map and not on nothing: a class of few
particles is the mean until they say otherwise, and is no worse a map than that of a class of many. With a prior about
nothing small classes are smoother than large ones, match all particles worse for it, and lose their members.
"""

from dataclasses import dataclass

import numpy as np
import torch

from vitreous.matching import RingBasis
from vitreous.structures._kernels.insert import add_particles
from vitreous.structures.refine.images import PointImages
from vitreous.volumes import VolumeSums, cross_power, density, prepared, symmetrised, zero_volume_sums

__all__ = ["ClassSums", "add_residuals", "difference_maps", "difference_power", "merged", "zero_class_sums"]


@dataclass(frozen=True, kw_only=True)
class ClassSums:
    """Statistics of K volumes: numerator (K, ...) complex and denominator (K, ...) of :class:`VolumeSums` each."""

    numerator: torch.Tensor
    denominator: torch.Tensor

    def __len__(self) -> int:
        return len(self.numerator)

    def of(self, k: int) -> VolumeSums:
        """Those of one volume; they share their memory."""
        return VolumeSums(numerator=self.numerator[k], denominator=self.denominator[k])


def zero_class_sums(classes: int, rings: int) -> ClassSums:
    """Statistics of no particles."""
    one = zero_volume_sums(rings)
    return ClassSums(
        numerator=torch.zeros((classes, *one.numerator.shape), dtype=one.numerator.dtype),
        denominator=torch.zeros((classes, *one.denominator.shape), dtype=one.denominator.dtype),
    )


def merged(sums: ClassSums) -> ClassSums:
    """All classes as one."""
    return ClassSums(numerator=sums.numerator.sum(0, keepdim=True), denominator=sums.denominator.sum(0, keepdim=True))


def add_residuals(
    sums: ClassSums, images: PointImages, rotation: np.ndarray, signal: np.ndarray, power: np.ndarray
) -> None:
    """Add centred images at rotations (m, 3, 3), in place: signal (m, K) c x and power (m, K) c^2; power > 0 or 0.

    Classes: both are the responsibilities. Components with scores z: signal z, power z^2.
    """
    nowhere = np.zeros((len(rotation), 1, 2), np.float32)
    turns = rotation[:, None].astype(np.float32)
    c = images.c.contiguous().numpy()
    for k in range(len(sums)):
        ratio = signal[:, k] / np.maximum(power[:, k], 1e-30)
        same = bool((ratio == 1).all())
        x = images.x if same else images.x * torch.from_numpy(ratio).float()[:, None]
        one = sums.of(k)
        add_particles(
            torch.view_as_real(one.numerator).numpy(),
            one.denominator.numpy(),
            images.points.plane.numpy(),
            torch.view_as_real(x.contiguous()).numpy(),
            c,
            turns,
            nowhere,
            power[:, k].astype(np.float32),
            images.phase,
        )


def difference_maps(
    sums: ClassSums, basis: RingBasis, tau2: torch.Tensor, group: torch.Tensor
) -> tuple[torch.Tensor, ...]:
    """Maps D_k (n, n, n) that statistics and priors of power tau2 (K, rings) imply."""
    return tuple(density(symmetrised(sums.of(k), group), basis, tau2[k]) for k in range(len(sums)))


def difference_power(a: ClassSums, b: ClassSums, rings: int, group: torch.Tensor, fudge: float) -> torch.Tensor:
    """tau_k^2 (K, rings): power that two independent parts of the particles of a class have in common, times fudge.

    Smoothed over three rings: of differences little is known in each. Zero where they have nothing in common, which
    makes the class the mean there.
    """
    out = []
    for k in range(len(a)):
        power = cross_power(symmetrised(a.of(k), group), symmetrised(b.of(k), group), rings)
        edged = torch.cat([power[:1], power, power[-1:]])
        out.append((0.25 * edged[:-2] + 0.5 * edged[1:-1] + 0.25 * edged[2:]).clamp_min(0) * fudge)
    return torch.stack(out)


def prepared_all(maps: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
    """Maps made ready for slices."""
    return tuple(prepared(one) for one in maps)
