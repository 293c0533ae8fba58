"""What a user can say about a model from class averages: what all methods share, and what each has of its own."""

from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from vitreous.require import require, require_at_least, require_finite, require_one_of, require_positive
from vitreous.rotations import symmetry_matrices
from vitreous.structures.from_averages.views import FIRST_RINGS

__all__ = [
    "AllMethods",
    "ClusteredLines",
    "CommonLines",
    "FromAverages",
    "ProjectionMatching",
    "QuasiNewton",
    "Ransac",
    "Significant",
    "Stochastic",
    "shared_settings",
]

Kind = TypeVar("Kind", bound="FromAverages")


@dataclass(frozen=True, kw_only=True)
class FromAverages:
    """What all methods of this room have. None means: chosen from the averages.

    Parameters
    ----------
    symmetry
        Point group: C1, Cn, Dn, T, O or I.
    restarts
        Independent starts, each from random numbers of its own; the best by score is the model.
    particle_diameter_A
        Diameter of the sphere that holds the particle, in Angstrom. None: from the averages.
    offset_range_A
        Farthest distance of a particle from its centre of mass that is searched, in Angstrom. None: 6% of the box.
    rings
        Rings of Fourier space that averages are compared on, at least 4. None: 16, or as many as hold signal.
    polish_rounds
        Rounds at the end of a start in which poses climb to the nearest maxima of the likelihood and the map follows.
    agreement_deg
        Poses of two restarts agree when they differ by less than this after alignment.
    seed
        Of everything random.
    """

    symmetry: str = "C1"
    restarts: int = 4
    particle_diameter_A: float | None = None
    offset_range_A: float | None = None
    rings: int | None = None
    polish_rounds: int = 6
    agreement_deg: float = 20.0
    seed: int = 0

    def __post_init__(self) -> None:
        require_finite(self)
        require_at_least(self, {"restarts": 1, "polish_rounds": 0, "rings": FIRST_RINGS})
        require_positive(self, ("particle_diameter_A", "offset_range_A", "agreement_deg"))
        symmetry_matrices(self.symmetry)


def shared_settings(kind: type[Kind], settings: FromAverages, **own: Any) -> Kind:
    """Settings of another method of this room with all that both have, and some of its own."""
    return kind(**{name: getattr(settings, name) for name in FromAverages.__dataclass_fields__}, **own)


@dataclass(frozen=True, kw_only=True)
class ProjectionMatching(FromAverages):
    """Projection matching from random models (Penczek 1994; Sanz-Garcia 2010; EMAN2); see :class:`FromAverages`.

    Parameters
    ----------
    start_from
        blobs: a cloud of random Gaussians (EMAN2's way). orientations: the averages in random orientations.
    tries
        Random maps in each start, of which the one goes on that the averages agree with best in the end (EMAN2's way).
    passes
        Passes over all averages; rings grow evenly from the first to the last one.
    """

    start_from: Literal["blobs", "orientations"] = "blobs"
    tries: int = 2
    passes: int = 40

    def __post_init__(self) -> None:
        super().__post_init__()
        require_one_of(self, "start_from", ("blobs", "orientations"))
        require_at_least(self, {"tries": 1, "passes": 1})


@dataclass(frozen=True, kw_only=True)
class CommonLines(FromAverages):
    """Orientations from common lines; see :class:`FromAverages`.

    Parameters
    ----------
    solver
        reconstitution: one average after the other on a grid of orientations, then all again until none moves (van Heel
        1987; Penczek 1996). eigenvectors: all pairs at once, by voting and synchronisation (Shkolnisky and Singer
        2012). robust: the same, then least unsquared deviations (Wang, Singer and Wen 2013). None: robust, and
        reconstitution with a point group.
    line_step_deg
        Distance of the lines of an average.
    thirds
        Third averages that vote on the angle between each pair.
    """

    solver: Literal["reconstitution", "eigenvectors", "robust"] | None = None
    line_step_deg: float = 4.0
    thirds: int = 100

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.solver is not None:
            require_one_of(self, "solver", ("reconstitution", "eigenvectors", "robust"))
            grouped = self.symmetry != "C1" and self.solver != "reconstitution"
            require(self, "solver", not grouped, f"reconstitution with the point group {self.symmetry}")
        require(self, "line_step_deg", 1 <= self.line_step_deg <= 15, "a number from 1 to 15")
        require_at_least(self, {"thirds": 1})


@dataclass(frozen=True, kw_only=True)
class Significant(FromAverages):
    """Weighted assignment to the most similar projections (Sorzano et al. 2015); see :class:`FromAverages`.

    Parameters
    ----------
    percent_first
        Share of all orientations, in per cent, that an average is given to in the first pass, the most similar ones.
    percent_last
        That in the last pass; in between it falls evenly on a logarithmic scale.
    passes
        Passes over all averages; rings grow evenly from the first to the last one.
    """

    percent_first: float = 15.0
    percent_last: float = 0.01
    passes: int = 40

    def __post_init__(self) -> None:
        super().__post_init__()
        require_at_least(self, {"passes": 1})
        require(self, "percent_first", 0 < self.percent_first <= 100, "a number above 0 and at most 100")
        require(self, "percent_last", 0 < self.percent_last <= 100, "a number above 0 and at most 100")


@dataclass(frozen=True, kw_only=True)
class Stochastic(FromAverages):
    """Stochastic hill climbing, as PRIME does it (Elmlund et al. 2013); see :class:`FromAverages`.

    Parameters
    ----------
    passes
        Passes over all averages; rings grow evenly from the first to the last one.
    """

    passes: int = 40

    def __post_init__(self) -> None:
        super().__post_init__()
        require_at_least(self, {"passes": 1})


@dataclass(frozen=True, kw_only=True)
class Ransac(FromAverages):
    """Random consensus over small subsets of the averages (Vargas et al. 2014); see :class:`FromAverages`.

    Parameters
    ----------
    subsets
        Random subsets in all starts together, each in random orientations.
    fewest
        Averages in a subset, at least.
    most
        Averages in a subset, at most.
    refined
        Subsets whose maps agree best with all averages, which are refined by projection matching.
    passes
        Passes of projection matching.
    """

    subsets: int = 380
    fewest: int = 4
    most: int = 9
    refined: int = 8
    passes: int = 30

    def __post_init__(self) -> None:
        super().__post_init__()
        require_at_least(self, {"subsets": 1, "fewest": 2, "refined": 1, "passes": 1})
        require(self, "most", self.most >= self.fewest, f"at least fewest ({self.fewest})")


@dataclass(frozen=True, kw_only=True)
class ClusteredLines(FromAverages):
    """Models from common lines of subsets, clustered and averaged (Lyumkis et al. 2013); see :class:`FromAverages`.

    Parameters
    ----------
    models
        Models from common lines in all starts together, each of a random subset of the averages.
    share
        Part of the averages in a subset.
    refined
        Clusters of models, the largest ones, whose means are refined in each start.
    passes
        Passes of projection matching.
    """

    models: int = 60
    share: float = 0.7
    refined: int = 2
    passes: int = 12

    def __post_init__(self) -> None:
        super().__post_init__()
        require_at_least(self, {"models": 1, "refined": 1, "passes": 1})
        require(self, "share", 0 < self.share <= 1, "a number above 0 and at most 1")


@dataclass(frozen=True, kw_only=True)
class QuasiNewton(FromAverages):
    """Density and poses together by L-BFGS (Yang, Ng and Penczek 2005); see :class:`FromAverages`.

    Parameters
    ----------
    start_from
        lines: poses from common lines. orientations: random ones.
    attempts
        Of random orientations: how many the first stage is tried from; the one of least cost goes on.
    steps
        Most steps of a stage; a stage has one ring more than the one before.
    """

    start_from: Literal["lines", "orientations"] = "lines"
    attempts: int = 8
    steps: int = 40

    def __post_init__(self) -> None:
        super().__post_init__()
        require_one_of(self, "start_from", ("lines", "orientations"))
        require_at_least(self, {"attempts": 1, "steps": 1})


@dataclass(frozen=True, kw_only=True)
class AllMethods(FromAverages):
    """All methods of this room and of others, one after the other; see :class:`FromAverages`.

    Parameters
    ----------
    bayesian
        Whether the Bayesian mixture (gmm, or gmm-gaussian for averages with negative pixels) takes part.
    """

    bayesian: bool = True
