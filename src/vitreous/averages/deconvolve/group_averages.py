"""Group averages: the aligned members of every class, averaged by defocus group, and the CTF that such an average has.

The expectation of an average of images ``C_i y + noise`` is ``mean(C_i) y``. So an average goes with the *mean CTF of
its own members*, turned with them into the frame of the class: none is biased, however wide its group or however
astigmatic its members; groups only decide how much is lost where the CTFs of one average differ.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from vitreous.matching import Alignments, ImagePreparation, aligned_images, turned_ctf
from vitreous.optics import CTFParameters, ctf_2d

__all__ = ["GroupAverages", "average_groups", "defocus_groups"]


@dataclass(frozen=True, kw_only=True)
class GroupAverages:
    """images (K, G, L, L) averages; ctf (K, G, L, L // 2 + 1) mean CTF of their members; count (K, G) of members."""

    images: torch.Tensor
    ctf: torch.Tensor
    count: torch.Tensor

    @property
    def plain(self) -> torch.Tensor:
        """Average of all members of every class, whatever their CTF: (K, L, L)."""
        total = self.count.sum(1).clamp_min(1)[:, None, None]
        return (self.images * self.count[:, :, None, None]).sum(1) / total


def defocus_groups(defocus_A: np.ndarray, groups: int) -> np.ndarray:
    """Group (n,) from 0 of every particle by its defocus: at most ``groups`` quantiles of about equal size.

    Particles of the same defocus stay together; when there are no more than ``groups`` different values, each is a
    group. Groups are numbered by defocus without gaps. Raises ValueError for no group or a defocus that is not finite.
    """
    if groups < 1:
        raise ValueError(f"groups: expected at least 1, found {groups}")
    if not np.isfinite(defocus_A).all():
        row = int(np.argmin(np.isfinite(defocus_A)))
        raise ValueError(f"particle {row + 1}: the defocus is {defocus_A[row]}; expected a number in Angstrom")
    values, inverse, count = np.unique(defocus_A, return_inverse=True, return_counts=True)
    if len(values) <= groups:
        return inverse.reshape(-1).astype(np.int64)
    middle = (np.cumsum(count) - count / 2) / len(defocus_A)
    return np.unique((groups * middle).astype(np.int64)[inverse.reshape(-1)], return_inverse=True)[1].reshape(-1)


def average_groups(
    read: Callable[[np.ndarray], np.ndarray],
    preparation: ImagePreparation,
    ctf: CTFParameters | None,
    alignments: Alignments,
    group: np.ndarray,
    n_classes: int,
    n_groups: int,
    *,
    phase_flipped: bool = False,
    device: str = "cpu",
    threads: int = 1,
) -> GroupAverages:
    """Average the members of ``n_classes`` classes by group (m,), each image interpolated once.

    read: rows -> raw images; ctf: of all particles, None for none. Bad images (NaN, constant) do not count.
    """
    n = preparation.box_px
    images = torch.zeros(n_classes * n_groups, n, n, device=device)
    transfer = torch.zeros(n_classes * n_groups, n, n // 2 + 1, device=device)
    count = torch.zeros(n_classes * n_groups, device=device)
    slot = torch.from_numpy(alignments.reference * n_groups + group).to(device)
    for part, aligned, ones in aligned_images(read, preparation, None, alignments, device=device, threads=threads):
        good = (aligned.abs().amax((1, 2)) > 0).to(aligned.dtype)  # bad images have come back as zeros
        images.index_add_(0, slot[part], aligned)
        count.index_add_(0, slot[part], good)
        seen = ones if ctf is None else _ctf_in_class(ctf, alignments.take(part), preparation, phase_flipped, device)
        transfer.index_add_(0, slot[part], seen * good[:, None, None])
    size = count.clamp_min(1)[:, None, None]
    return GroupAverages(
        images=(images / size).reshape(n_classes, n_groups, n, n),
        ctf=(transfer / size).reshape(n_classes, n_groups, n, n // 2 + 1),
        count=count.reshape(n_classes, n_groups),
    )


def _ctf_in_class(
    ctf: CTFParameters, alignments: Alignments, preparation: ImagePreparation, phase_flipped: bool, device: str
) -> torch.Tensor:
    """What the signal of particles was multiplied by, turned (and reflected) with them into the frame of their class.

    That is their CTF, and its square for images that were premultiplied by it.
    """
    values = ctf_2d(turned_ctf(ctf, alignments), preparation.box_px, preparation.pixel_size_A, device=device)
    values = values.abs() if phase_flipped else values
    if not ctf.premultiplied.any():
        return values
    premultiplied = torch.from_numpy(ctf.take(alignments.particle).premultiplied > 0).to(device)
    return torch.where(premultiplied[:, None, None], values.square(), values)
