"""Whether a class is kept, from its figures: comparisons with noise, and with the other classes of the same data.

No criterion grows stricter for small classes. Resolution does: it rises with the number of members, so that half of all
good classes can have less than half of the best one's. What a class explains *per member* does not, and its scatter is
known, so it can be compared.

- ``few``: fewer than two members, of which nothing can be told.
- ``noise``: the members match their class no better than noise does. The difference has to exceed its standard error by
  so much that pure noise passes in no class with probability 1 - ``error_rate`` (Bonferroni).
- ``off_centre``: the centre of mass is farther from the centre of the box than twice what any particle was allowed to
  be off: a particle at the end of that range, in a class whose frame is as far off, lies there. (Views that are not
  symmetric have their mass off their centre: 4 pixels of 25 occur in good classes of a ribosome.)
- ``weak``: the signal that the members have in common, above what noise reaches, is less than a third of the typical
  one. Views of one particle differ too: with the same mass on an area s times larger, a view has 1 / s of the power.
  A third is that of a particle three times as long as wide, seen from the side, where the typical view is from the end.
- ``blurred``: the same in the outer half of the rings alone, where scatter is larger: by the upper bound.
- ``unexplained``: what a class leaves unexplained of its members, more than other classes do, is more than what it
  explains: more junk than particle.
- ``edge``: more power at the rim of the mask than within it, and far out among the classes: a neighbour, or a particle
  that is cut. Where particles are crowded all classes have neighbours, and are none the worse for it.
- ``unstable``: a test of stability says so, where there is one.

Typical is the median over the members of classes that are more than noise.
"""

from dataclasses import dataclass

import numpy as np
from scipy.stats import norm

from vitreous.averages.class_choice.figures import ClassFigures
from vitreous.words import counted

__all__ = ["REASONS", "ClassVerdicts", "Typical", "outliers", "verdicts"]

REASONS = {  # in the order in which they are given
    "few": "too few members to tell",
    "noise": "no more than noise",
    "off_centre": "off centre",
    "weak": "little signal",
    "blurred": "blurred",
    "unexplained": "more unexplained than explained",
    "edge": "neighbour, or cut at the edge",
    "unstable": "unstable",
}
FEWEST = 2
MAD_TO_SD = 1.4826  # of a Gaussian
MOST_OFFSETS = 2  # of the range: of the particle, and of the frame of its class
WEAKEST_VIEW = 1 / 3  # of the typical signal
SCORE_SD = 1.0  # of the matched filter, at least: what small classes cannot measure


@dataclass(frozen=True, kw_only=True)
class Typical:
    """signal, detail: what the typical class explains of a member, in nats; sigmas: what a test asks for."""

    signal: float
    detail: float
    sigmas: float


@dataclass(frozen=True, kw_only=True, eq=False)
class ClassVerdicts:
    """Of K classes. failed: reason -> (K,) bool, in the order of :data:`REASONS`."""

    failed: dict[str, np.ndarray]
    typical: Typical
    words: tuple[str, ...]  # why each class goes, with its figures; "" for those that stay

    @property
    def kept(self) -> np.ndarray:
        """(K,) bool."""
        return ~np.logical_or.reduce(list(self.failed.values()))

    @property
    def reason(self) -> tuple[str, ...]:
        """The first reason of every class; "" for those that stay."""
        return tuple(
            next((name for name, classes in self.failed.items() if classes[k]), "") for k in range(len(self.words))
        )


def verdicts(
    figures: ClassFigures,
    *,
    offset_range_A: float,
    error_rate: float = 0.05,
    found_signal: bool = True,
    stable: np.ndarray | None = None,
) -> ClassVerdicts:
    """Judge K classes.

    offset_range_A: farthest origin of a particle; error_rate: as in :class:`ClassChoice`; found_signal: what the
    classification itself says about the whole; stable: (K,) float, 1 for stable, 0 for unstable, NaN where not tested.
    """
    count = len(figures.members)
    sigmas = float(norm.isf(error_rate / max(count, 1)))
    few = figures.members < FEWEST
    floor = SCORE_SD / np.sqrt(np.maximum(figures.members, 1))
    error = np.hypot(np.maximum(figures.score_error, floor), figures.noise_error)
    above = figures.score - figures.noise_score
    noise = ~few & (~(above > sigmas * error) | (not found_signal))
    signal = figures.signal - np.square(figures.noise_everywhere)
    seen = ~few & ~noise
    typical = Typical(
        signal=_median(signal, figures.members * seen), detail=_median(figures.detail, figures.members * seen),
        sigmas=sigmas,
    )  # fmt: skip
    distance_A = np.linalg.norm(figures.centre_A, axis=1)
    tested = np.full(count, np.nan) if stable is None else stable
    failed = {
        "few": few,
        "noise": noise,
        "off_centre": seen & (distance_A > MOST_OFFSETS * offset_range_A),
        "weak": seen & (signal < WEAKEST_VIEW * typical.signal),
        "blurred": seen & (figures.detail + sigmas * figures.detail_error < WEAKEST_VIEW * typical.detail),
        "unexplained": seen & (figures.unexplained - sigmas * figures.unexplained_error > figures.signal),
        "edge": seen & (figures.rim > max(1.0, _outer_fence(figures.rim[seen]))),
        "unstable": seen & (tested == 0),
    }
    words = tuple(_words(k, failed, figures, signal, typical, offset_range_A) for k in range(count))
    return ClassVerdicts(failed=failed, typical=typical, words=words)


def outliers(unexplained: np.ndarray, signal: np.ndarray, error_rate: float = 0.05) -> np.ndarray:
    """(m,) bool: members of which their class leaves more unexplained than it explains, and than scatter does.

    unexplained: (m,) nats above the median of the class; signal: (m,) nats that the class explains. The scatter is that
    of the bulk of all members, robustly. So many are taken that at most a share ``error_rate`` of them is expected to
    be there by scatter alone (Benjamini and Hochberg 1995): where there is junk the limit comes down to it, and
    where there is none hardly any member goes. Such a member has another particle beside it, or in its place.
    """
    count = len(unexplained)
    spread = MAD_TO_SD * float(np.median(np.abs(unexplained))) if count else 0.0
    if spread == 0:
        return np.zeros(count, bool)
    chance = norm.sf(unexplained / spread)
    ranked = np.sort(chance)
    below = ranked[ranked <= error_rate * np.arange(1, count + 1) / count]
    far: np.ndarray = (chance <= below.max(initial=-1.0)) & (unexplained > np.nan_to_num(signal))
    return far


def _median(values: np.ndarray, weight: np.ndarray) -> float:
    """Weighted median; 0 where nothing has a weight."""
    used = np.flatnonzero(weight > 0)
    if len(used) == 0:
        return 0.0
    order = used[np.argsort(values[used], kind="stable")]
    rank = np.cumsum(weight[order])
    return float(values[order[np.searchsorted(rank, rank[-1] / 2)]])


def _outer_fence(values: np.ndarray) -> float:
    """Q3 + 3 (Q3 - Q1), beyond which Tukey calls a value far out; 0 of none."""
    if len(values) == 0:
        return 0.0
    low, high = np.quantile(values, [0.25, 0.75])
    return float(high + 3 * (high - low))


def _words(
    k: int,
    failed: dict[str, np.ndarray],
    figures: ClassFigures,
    signal: np.ndarray,
    typical: Typical,
    offset_range_A: float,
) -> str:
    """All reasons of one class, with figures."""
    far_A = float(np.linalg.norm(figures.centre_A[k]))
    details = {
        "few": counted(int(figures.members[k]), "usable particle"),
        "noise": f"its members match it by {figures.score[k]:.1f} standard deviations, noise by "
        f"{figures.noise_score[k]:.1f}",
        "off_centre": f"by {far_A:.0f} Å; particles may be {offset_range_A:.0f} Å off, and so may the frame of a class",
        "weak": f"{max(signal[k], 0):.1f} nats in a particle, where {typical.signal:.1f} are typical",
        "blurred": f"{max(figures.detail[k], 0):.1f} nats of detail in a particle, where {typical.detail:.1f} are "
        "typical",
        "unexplained": f"{figures.unexplained[k]:.0f} nats of a particle more than in other classes, against "
        f"{figures.signal[k]:.0f} that it explains",
        "edge": f"{figures.rim[k]:.1f} times as much at the rim of the mask as within it",
        "unstable": "its members align in several ways",
    }
    return "; ".join(f"{REASONS[name]} ({details[name]})" for name in failed if failed[name][k])
