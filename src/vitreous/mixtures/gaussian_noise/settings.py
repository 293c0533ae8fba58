"""What a user can say about an initial model under Gaussian noise."""

from dataclasses import dataclass
from typing import Literal

from vitreous.mixtures._require import require_at_least, require_components, require_positive

__all__ = ["GaussianInitialModel"]


@dataclass(frozen=True, kw_only=True)
class GaussianInitialModel:
    """Settings of :func:`vitreous.mixtures.gaussian_initial_model`.

    Parameters
    ----------
    symmetry
        Point group: C1, Cn, Dn, T, O or I.
    restarts
        Independent starts from random mixtures and poses; the best by log posterior is refined.
    components
        Gaussians of the whole particle in the initial stage.
    box_px
        Side of the reduced images in the initial stage.
    power_first
        What the log likelihood is multiplied by at the start; it grows to 1 evenly on a logarithmic scale.
    rounds
        Rounds of the initial stage in all.
    rounds_annealed
        Rounds in which the power grows.
    global_rotations
        Random rotations that every image is compared with in a round.
    mixture_steps
        Hamiltonian steps for the mixture in a round.
    pose_steps
        Hamiltonian steps for the poses in a round.
    fine_components
        Gaussians of the whole particle in the refinement, or "auto": the fewest that predict held-out averages as well
        as any number does.
    fine_box_px
        Side of the reduced images in the refinement.
    burn_in_steps
        Steps of the refinement before the first sample, in which step sizes are adapted.
    samples
        Samples of the posterior mean.
    steps_between
        Steps from one sample to the next.
    map_box_px
        Side of the grid of the posterior mean and variance, at most (over the field of the averages).
    offset_sd_A
        How far particles may sit from the estimated centre of their image, standard deviation per axis.
    acceptance
        The share of Hamiltonian moves to be accepted, by which step sizes are adapted.
    agreement_deg
        Poses of two restarts agree when they differ by less than this after alignment.
    seed
        Of everything random.
    """

    symmetry: str = "C1"
    restarts: int = 4
    components: int = 100
    box_px: int = 32
    power_first: float = 0.0005
    rounds: int = 50
    rounds_annealed: int = 44
    global_rotations: int = 1000
    mixture_steps: int = 6
    pose_steps: int = 4
    fine_components: int | Literal["auto"] = 500
    fine_box_px: int = 50
    burn_in_steps: int = 100
    samples: int = 30
    steps_between: int = 4
    map_box_px: int = 100
    offset_sd_A: float = 10.0
    acceptance: float = 0.75
    agreement_deg: float = 20.0
    seed: int = 0

    def __post_init__(self) -> None:
        require_components(self.fine_components)
        least = {"restarts": 1, "components": 2, "box_px": 8, "rounds": 1, "rounds_annealed": 1}
        least |= {"global_rotations": 1, "mixture_steps": 1, "pose_steps": 0, "fine_box_px": 8}
        least |= {"burn_in_steps": 1, "samples": 1, "steps_between": 1, "map_box_px": 8}
        require_at_least(self, least)
        require_positive(self, ("offset_sd_A", "agreement_deg"))
        if not 0 < self.power_first <= 1:
            raise ValueError(f"power_first: expected a number above 0 and at most 1, found {self.power_first}")
        if not 0.4 <= self.acceptance <= 0.95:
            raise ValueError(f"acceptance: expected a share from 0.4 to 0.95, found {self.acceptance}")

    @property
    def burn_in_blocks(self) -> int:
        """Blocks of ``steps_between`` steps before the first sample."""
        return -(-self.burn_in_steps // self.steps_between)

    @property
    def steps(self) -> int:
        """Steps of the whole algorithm: rounds, then blocks of ``steps_between`` steps."""
        return self.rounds + self.burn_in_blocks + self.samples
