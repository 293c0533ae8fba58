"""A classification of simulated particles against their truth."""

from dataclasses import dataclass

import numpy as np
import torch

from vitreous.fourier import central_slices, centred_irfft2, prepare_volume
from vitreous.particles import Table
from vitreous.quality.correlation import soft_disc
from vitreous.randomness import generator
from vitreous.rotations import direction_distance_deg, euler_to_matrix, rotation_distance_deg, viewing_directions

__all__ = [
    "ClassTruth",
    "class_directions",
    "class_frame_poses",
    "compare_classes",
    "pair_angle_deg",
    "projection_match",
]

NEAR_DEG = 30.0  # what counts as the same view when the view of a class is sought
KERNEL_DEG = 10.0
SHIFT_PX = 4  # a class average may be off-centre by so much


@dataclass(frozen=True, kw_only=True)
class ClassTruth:
    """How good a classification is; angles between the true viewing directions of particles."""

    pair_angle_deg: float  # mean over pairs of particles of the same class
    pair_angle_random_deg: float  # the same for classes of the same sizes drawn at random
    direction_angle_deg: float  # median over particles of the angle from the direction of their class
    direction_angle_random_deg: float
    correlation: float  # mean over classes, by size, of average and clean projection in the direction of the class

    def lines(self) -> list[str]:
        """For reading."""
        return [
            f"viewing directions in a class differ by {self.pair_angle_deg:.1f}° on average "
            f"(random classes: {self.pair_angle_random_deg:.1f}°)",
            f"half of the particles are within {self.direction_angle_deg:.1f}° of the direction of their class "
            f"(random classes: {self.direction_angle_random_deg:.1f}°)",
            f"class averages correlate with clean projections from their directions by {self.correlation:.3f}",
        ]


def compare_classes(averages: torch.Tensor, volume: torch.Tensor, poses: torch.Tensor, label: np.ndarray) -> ClassTruth:
    """Compare the classes of n particles with their true poses (n, 3, 3), see :func:`class_frame_poses`.

    label (n,) from 0, averages (K, L, L), volume (L, L, L) that the particles show.
    """
    shuffled = generator(0, "random classes").permutation(label)
    directions = viewing_directions(poses)
    correlation = projection_match(averages, volume, poses, label)
    sizes = np.bincount(label)
    return ClassTruth(
        pair_angle_deg=pair_angle_deg(directions, label),
        pair_angle_random_deg=pair_angle_deg(directions, shuffled),
        direction_angle_deg=float(_from_class_direction(directions, label).median()),
        direction_angle_random_deg=float(_from_class_direction(directions, shuffled).median()),
        correlation=float(np.average(correlation[sizes > 0], weights=sizes[sizes > 0])),
    )


def class_frame_poses(data: Table, truth: Table) -> torch.Tensor:
    """True poses of the particles turned into the frame of their class average: (n, 3, 3) float64.

    By X(r) = A(R(psi)(r + o)) the average shows the volume at G Rz(-psi), psi being the angle that was found.
    """
    true = [truth.numbers(f"rlnAngle{name}") for name in ("Rot", "Tilt", "Psi")]
    true[2] = true[2] - data.numbers("rlnAnglePsi")
    return euler_to_matrix(torch.from_numpy(np.stack(true, axis=1)))


def pair_angle_deg(directions: torch.Tensor, label: np.ndarray) -> float:
    """Mean angle between the directions (n, 3) of two particles of one class, classes weighted by size."""
    means, sizes = [], []
    for members in _classes(label, at_least=2):
        angles = direction_distance_deg(directions[members][:, None], directions[members][None])
        means.append(float(angles.sum()) / (len(members) * (len(members) - 1)))
        sizes.append(len(members))
    return float(np.average(means, weights=sizes))


def class_directions(directions: torch.Tensor, label: np.ndarray) -> dict[int, torch.Tensor]:
    """Class -> the direction (3,) about which its members crowd: the mean of those near the densest member."""
    found = {}
    for members in _classes(label, at_least=1):
        mine = directions[members]
        angles = direction_distance_deg(mine[:, None], mine[None])
        densest = torch.exp(-angles / KERNEL_DEG).sum(1).argmax()
        mean = mine[angles[densest] < NEAR_DEG].mean(0)
        found[int(label[members[0]])] = mean / mean.norm()
    return found


def projection_match(
    averages: torch.Tensor, volume: torch.Tensor, poses: torch.Tensor, label: np.ndarray
) -> np.ndarray:
    """Correlation (K,) of every class average with the clean projection at the pose of the class; 0 if it is empty.

    averages (K, L, L), volume (L, L, L), poses (n, 3, 3) in the frames of the averages. Within a disc of 7/16 of the
    box, at the best whole-pixel shift.
    """
    n = averages.shape[-1]
    present = np.unique(label)
    pose = torch.stack([_common_pose(poses[torch.from_numpy(np.flatnonzero(label == k))]) for k in present])
    projections = centred_irfft2(central_slices(prepare_volume(volume), pose.float(), n), n)
    mask = soft_disc(n, n * 7 / 16, 3.0)
    a, b = (_standardised(images, mask) for images in (averages[torch.from_numpy(present)], projections))
    cross = torch.fft.irfft2(torch.fft.rfft2(a) * torch.fft.rfft2(b).conj(), s=(n, n))
    near = torch.arange(-SHIFT_PX, SHIFT_PX + 1) % n
    out = np.zeros(len(averages))
    out[present] = cross[:, near][:, :, near].amax((1, 2)).numpy()
    return out


def _common_pose(poses: torch.Tensor) -> torch.Tensor:
    """The rotation (3, 3) about which poses (m, 3, 3) crowd: chordal mean of those near the densest one."""
    angles = rotation_distance_deg(poses[:, None], poses[None])
    densest = torch.exp(-angles / KERNEL_DEG).sum(1).argmax()
    u, _, v = torch.linalg.svd(poses[angles[densest] < NEAR_DEG].sum(0))
    u[:, 2] *= torch.linalg.det(u @ v)
    return u @ v


def _from_class_direction(directions: torch.Tensor, label: np.ndarray) -> torch.Tensor:
    of_class = class_directions(directions, label)
    return direction_distance_deg(directions, torch.stack([of_class[int(k)] for k in label]))


def _standardised(images: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Mean 0 within the mask, 0 outside, norm 1."""
    mean = (images * mask).sum((1, 2), keepdim=True) / mask.sum()
    masked = (images - mean) * mask
    return masked / masked.flatten(1).norm(dim=1).clamp_min(1e-12)[:, None, None]


def _classes(label: np.ndarray, *, at_least: int) -> list[np.ndarray]:
    members = [np.flatnonzero(label == k) for k in np.unique(label)]
    return [m for m in members if len(m) >= at_least]
