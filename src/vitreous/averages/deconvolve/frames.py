"""Frames: the aligned members of every class, averaged by defocus group, and the CTF that such an average has.

The expectation of an average of images ``C_i y + noise`` is ``mean(C_i) y``. So a frame goes with the *mean CTF of its
own members*, turned with them into the frame of the class: no frame is biased, however wide its group or however
astigmatic its members; groups only decide how much is lost where the CTFs of one frame differ.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch

from vitreous.averages.class2d.restore import Poses, aligned_images
from vitreous.matching import ImagePreparation
from vitreous.optics import CTFParameters, ctf_2d

__all__ = ["Frames", "Members", "defocus_groups", "mirrored", "sum_frames"]


@dataclass(frozen=True, kw_only=True)
class Members:
    """m particles in classes: particle, class_index and group (from 0), psi_rad, mirror (bool): (m,); origin_px (m, 2).

    A mirrored particle shows its class after it has been shifted, turned, and reflected (x -> -x).
    """

    particle: np.ndarray
    class_index: np.ndarray
    group: np.ndarray
    psi_rad: np.ndarray
    origin_px: np.ndarray
    mirror: np.ndarray

    def of_classes(self, first: int, stop: int) -> "Members":
        """Those of the classes first ... stop - 1, which are then counted from 0."""
        index = np.flatnonzero((self.class_index >= first) & (self.class_index < stop))
        taken = {name: getattr(self, name)[index] for name in ("particle", "group", "psi_rad", "origin_px", "mirror")}
        return Members(class_index=self.class_index[index] - first, **taken)


@dataclass(frozen=True, kw_only=True)
class Frames:
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


def mirrored(images: torch.Tensor) -> torch.Tensor:
    """Images (..., n, n) reflected about the centre: x -> -x. For even n the first column stays where it is."""
    flipped = torch.flip(images, dims=(-1,))
    return torch.roll(flipped, 1, dims=-1) if images.shape[-1] % 2 == 0 else flipped


def sum_frames(
    read: Callable[[np.ndarray], np.ndarray],
    preparation: ImagePreparation,
    ctf: CTFParameters | None,
    members: Members,
    n_classes: int,
    n_groups: int,
    *,
    phase_flipped: bool = False,
    device: str = "cpu",
) -> Frames:
    """Average the members of ``n_classes`` classes by group, each image interpolated once.

    read: rows -> raw images; ctf: of all particles, None for none. Bad images (NaN, constant) do not count.
    """
    n = preparation.box_px
    images = torch.zeros(n_classes * n_groups, n, n, device=device)
    transfer = torch.zeros(n_classes * n_groups, n, n // 2 + 1, device=device)
    count = torch.zeros(n_classes * n_groups, device=device)
    poses = Poses(
        particle=members.particle,
        class_index=members.class_index,
        half=np.zeros_like(members.particle),
        psi_rad=members.psi_rad,
        origin_px=members.origin_px,
    )
    slot = torch.from_numpy(members.class_index * n_groups + members.group).to(device)
    mirror = torch.from_numpy(members.mirror).to(device)[:, None, None]
    for part, aligned, ones in aligned_images(read, preparation, None, poses, device=device):
        good = (aligned.abs().amax((1, 2)) > 0).to(aligned.dtype)  # bad images have come back as zeros
        images.index_add_(0, slot[part], torch.where(mirror[part], mirrored(aligned), aligned))
        count.index_add_(0, slot[part], good)
        seen = ones if ctf is None else _ctf_in_class(ctf, members, part, preparation, phase_flipped, device)
        transfer.index_add_(0, slot[part], seen * good[:, None, None])
    size = count.clamp_min(1)[:, None, None]
    return Frames(
        images=(images / size).reshape(n_classes, n_groups, n, n),
        ctf=(transfer / size).reshape(n_classes, n_groups, n, n // 2 + 1),
        count=count.reshape(n_classes, n_groups),
    )


def _ctf_in_class(
    ctf: CTFParameters,
    members: Members,
    part: slice,
    preparation: ImagePreparation,
    phase_flipped: bool,
    device: str,
) -> torch.Tensor:
    """CTFs of some members, turned (and reflected) with them into the frame of their class."""
    params = ctf.take(members.particle[part])
    angle = params.defocus_angle_deg + np.rad2deg(members.psi_rad[part])
    turned = replace(params, defocus_angle_deg=np.where(members.mirror[part], -angle, angle))
    values = ctf_2d(turned, preparation.box_px, preparation.pixel_size_A, device=device)
    return values.abs() if phase_flipped else values
