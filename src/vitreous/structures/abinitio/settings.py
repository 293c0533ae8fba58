"""What a user can say about an ab initio structure."""

from dataclasses import dataclass
from typing import Literal

from vitreous.require import require_at_least, require_finite, require_one_of, require_positive
from vitreous.rotations import symmetry_matrices

__all__ = ["Abinitio"]


@dataclass(frozen=True, kw_only=True)
class Abinitio:
    """Settings of :func:`vitreous.abinitio`. None means: chosen from the data, and reported.

    Parameters
    ----------
    method
        em: expectation maximisation, which solves for the volumes at every step. sgd: stochastic gradient ascent with
        momentum and annealed noise.
    volumes
        Number of volumes K that the particles are shared by.
    symmetry
        Point group that is imposed: C1, C4, D2, T, O, I, ...
    starts
        Random starts. Particles that no start has used rank them; starts that agree are what makes a model credible.
    particle_diameter_A
        Diameter of the spherical mask around the particle, in Angstrom. None: 7/8 of the box.
    offset_range_A
        Farthest distance of a particle from the centre of its box that is searched, in Angstrom. None: 4% of the box.
    resolution_limit_A
        Finest resolution that is used, in Angstrom. None: an eighth of the diameter, to which poses can be found.
    iterations
        Most passes over the particles in one start; it ends earlier when the model has settled.
    tau2_fudge
        Multiplies the prior signal power of the volumes: above 1 keeps more detail and more noise.
    subset
        Particles in the first pass, and in those where images decide their poses; more where single images decide
        little. None: half of them, 300 to 1,000 per volume.
    folds
        The data are split in this many parts (at least 4). With em a particle is never compared with volumes that its
        own part is in; with sgd what a pass takes of a part is a mini-batch.
    first_noise
        Of sgd alone: what the noise power is multiplied by in the first pass; this factor approaches 1.
    seed
        Of everything random.
    ctf
        False: ignore the CTF columns.
    invert_contrast
        True when particles are dark on a bright background.
    normalise
        Set the background of every image to mean 0 and standard deviation 1 and remove its ramp.
    """

    method: Literal["em", "sgd"] = "em"
    volumes: int = 1
    symmetry: str = "C1"
    starts: int = 3
    particle_diameter_A: float | None = None
    offset_range_A: float | None = None
    resolution_limit_A: float | None = None
    iterations: int = 50
    tau2_fudge: float = 1.0
    subset: int | None = None
    folds: int = 8
    first_noise: float = 0.33
    seed: int = 0
    ctf: bool = True
    invert_contrast: bool = False
    normalise: bool = True

    def __post_init__(self) -> None:
        require_finite(self)
        require_one_of(self, "method", ("em", "sgd"))
        require_at_least(self, {"volumes": 1, "starts": 1, "iterations": 1, "folds": 4})
        require_positive(self, ("tau2_fudge", "particle_diameter_A", "offset_range_A", "resolution_limit_A", "subset"))
        require_positive(self, ("first_noise",))
        symmetry_matrices(self.symmetry)
