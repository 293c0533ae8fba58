"""What a user can say about an initial model."""

from dataclasses import dataclass
from typing import Literal

from vitreous.mixtures._require import require_at_least, require_components, require_positive

__all__ = ["InitialModel"]


@dataclass(frozen=True, kw_only=True)
class InitialModel:
    """Settings of :func:`vitreous.mixtures.initial_model`.

    Parameters
    ----------
    symmetry
        Point group: C1, Cn, Dn, T, O or I.
    restarts
        Independent starts from random mixtures and poses; the best by log posterior is refined. With a point group of g
        elements each is the best of min(g, 4) attempts, chosen after two thirds of the annealing.
    components
        Gaussians of the whole particle in the initial stage.
    box_px
        Side of the reduced images in the initial stage.
    counts
        Counts per image at the end of the initial stage.
    counts_first
        Counts per image at the start. Few counts make the posterior flat; they grow evenly on a logarithmic scale.
    rounds
        Rounds of the initial stage in all.
    rounds_annealed
        Rounds in which the counts grow.
    global_rotations
        Random rotations that every image is compared with in a round; shared out among attempts at a restart.
    conformations
        How many conformations the averages show, each average one of them.
    label_rounds
        With several conformations: rounds after those of the initial stage, in which images find theirs.
    label_counts
        With several conformations: counts per image at the end of these rounds. Telling conformations apart needs more
        of them than poses do.
    mixture_steps
        Gibbs steps for the mixture in a round.
    rotation_steps
        Gibbs steps for the poses, near their present values, in a round.
    fine_components
        Gaussians of the whole particle in the refinement, or "auto": the fewest that predict held-out averages as well
        as any number does.
    fine_box_px
        Side of the reduced images in the refinement.
    fine_counts
        Counts per image in the refinement.
    burn_in_steps
        Gibbs steps of the refinement before the first sample.
    samples
        Samples of the posterior mean.
    steps_between
        Steps from one sample to the next.
    map_box_px
        Side of the grid of the posterior mean and variance, at most (over the field of the averages).
    offset_sd_A
        How far particles may sit from their image's centre of mass in the refinement, standard deviation per axis.
    agreement_deg
        Poses of two restarts agree when they differ by less than this after alignment.
    seed
        Of everything random.
    """

    symmetry: str = "C1"
    restarts: int = 4
    components: int = 100
    box_px: int = 32
    counts: int = 1000
    counts_first: int = 40
    rounds: int = 44
    rounds_annealed: int = 36
    global_rotations: int = 1000
    conformations: int = 1
    label_rounds: int = 24
    label_counts: int = 5000
    mixture_steps: int = 6
    rotation_steps: int = 5
    fine_components: int | Literal["auto"] = 500
    fine_box_px: int = 50
    fine_counts: int = 10_000
    burn_in_steps: int = 300
    samples: int = 50
    steps_between: int = 20
    map_box_px: int = 100
    offset_sd_A: float = 10.0
    agreement_deg: float = 20.0
    seed: int = 0

    def __post_init__(self) -> None:
        require_components(self.fine_components)
        least = {"restarts": 1, "components": 2, "box_px": 8, "counts": 10, "counts_first": 1, "rounds": 1}
        least |= {"rounds_annealed": 1, "global_rotations": 1, "mixture_steps": 1, "rotation_steps": 0}
        least |= {"fine_box_px": 8, "fine_counts": 10, "burn_in_steps": 0, "samples": 1}
        least |= {"steps_between": 1, "map_box_px": 8}
        least |= {"conformations": 1, "label_rounds": 1, "label_counts": 20}
        require_at_least(self, least)
        require_positive(self, ("offset_sd_A", "agreement_deg"))
        if self.fine_components == "auto" and self.conformations > 1:
            raise ValueError('fine_components: "auto" is for one conformation; give a number with several')
        if self.counts_first > self.counts:
            raise ValueError(f"counts_first ({self.counts_first}) is more than counts ({self.counts})")

    @property
    def initial_rounds(self) -> int:
        """Rounds of the initial stage, those that tell conformations apart included."""
        return self.rounds + (self.label_rounds if self.conformations > 1 else 0)

    @property
    def ranking_counts(self) -> int:
        """Counts per image for the log posterior that ranks restarts: those at the end of the initial stage."""
        return self.label_counts if self.conformations > 1 else self.counts

    @property
    def burn_in_blocks(self) -> int:
        """Blocks of ``steps_between`` steps before the first sample."""
        return -(-self.burn_in_steps // self.steps_between)

    @property
    def steps(self) -> int:
        """Steps of the whole algorithm: rounds, then blocks of ``steps_between`` steps."""
        return self.initial_rounds + self.burn_in_blocks + self.samples
