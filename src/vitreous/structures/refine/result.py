"""What a refinement returns: one value that the writers, the report and the user's own code share."""

from dataclasses import dataclass, field

import numpy as np

from vitreous.optics import CTFParameters
from vitreous.particles import Volume
from vitreous.structures.poses import Poses
from vitreous.structures.refine.imaging import Imaging
from vitreous.volumes import AngularDistribution, HalfMapFSC, PostProcessed, ViewSampling
from vitreous.words import brief

__all__ = ["RefineResult"]


@dataclass(frozen=True, kw_only=True, eq=False)
class RefineResult:
    """Map, half maps and poses of n particles. Particles that took no part have a pose of volume -1.

    half: (n,) 0 or 1, -1 without a part; sigma_rot_deg, sigma_direction_deg, sigma_origin_A: (n,) standard deviations
    of a pose: of the in-plane rotation, of the viewing direction and of the origin, each per axis; log_likelihood: (n,)
    in nats above an empty image.
    """

    __repr__ = brief

    poses: Poses
    half: np.ndarray
    sigma_psi_deg: np.ndarray
    sigma_direction_deg: np.ndarray
    sigma_origin_A: np.ndarray
    log_likelihood: np.ndarray
    halves: tuple[Volume, Volume]  # unfiltered, original pixels
    full: Volume  # of all particles, by least squares in the sphere, filtered by the SNR of the halves
    post: PostProcessed
    in_sphere: HalfMapFSC  # of the halves within the sphere of the particle
    views: AngularDistribution
    sampling: ViewSampling
    noise_power: np.ndarray  # (groups, L // 2 + 1) of images normalised to background sd 1
    noise_group: np.ndarray  # (n,)
    ctf: CTFParameters | None  # of the particles, with the defocus that was found
    imaging: Imaging  # what was found of defocus and contrast
    found_signal: bool
    same_view: float  # share of particles that find their view again in the map of the other half
    messages: list[str] = field(default_factory=list)

    @property
    def resolution_A(self) -> float:
        """Of the halves within the sphere of the particle: 95 % certain at 0.143; inf where nothing is claimed."""
        return self.in_sphere.certain_resolution_A if self.found_signal else float("inf")

    @property
    def masked_resolution_A(self) -> float:
        """Of the halves within the mask, corrected for it, at 0.143; inf where nothing is claimed.

        What other programs report; it is to be compared with a truth in the same mask.
        """
        return self.post.resolution_A if self.found_signal else float("inf")
