"""What a refinement returns: one value that the writers, the report and the user's own code share."""

from dataclasses import dataclass, field

import numpy as np

from vitreous.particles import Volume
from vitreous.structures.poses import Poses
from vitreous.volumes import AngularDistribution, PostProcessed, ViewSampling

__all__ = ["RefineResult"]


@dataclass(frozen=True, kw_only=True, eq=False)
class RefineResult:
    """Map, half maps and poses of n particles. Particles that took no part have a pose of volume -1.

    half: (n,) 0 or 1, -1 without a part; sigma_rot_deg, sigma_direction_deg, sigma_origin_A: (n,) standard deviations
    of a pose: of the in-plane rotation, of the viewing direction and of the origin, each per axis; log_likelihood: (n,)
    in nats above an empty image.
    """

    poses: Poses
    half: np.ndarray
    sigma_psi_deg: np.ndarray
    sigma_direction_deg: np.ndarray
    sigma_origin_A: np.ndarray
    log_likelihood: np.ndarray
    halves: tuple[Volume, Volume]  # unfiltered, original pixels
    full: Volume  # of all particles, filtered by the signal-to-noise ratio of the halves within the sphere
    post: PostProcessed
    views: AngularDistribution
    sampling: ViewSampling
    noise_power: np.ndarray  # (groups, L // 2 + 1) of images normalised to background sd 1
    noise_group: np.ndarray  # (n,)
    found_signal: bool
    messages: list[str] = field(default_factory=list)

    @property
    def resolution_A(self) -> float:
        """Of the halves, corrected for the mask, at 0.143; inf where nothing is claimed."""
        return self.post.resolution_A if self.found_signal else float("inf")
