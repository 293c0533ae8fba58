"""What the next pass of a start does: rings, particles, sharpness, and whether there is a next one."""

from dataclasses import dataclass, replace

import numpy as np

__all__ = ["FIRST_RINGS", "Schedule", "particles_of_pass", "sharpness_of"]

FIRST_RINGS = 7  # with fewer, noisy images hardly tell the views of the right structure, and settle in a wrong one
PATIENCE = 2  # passes at one number of rings after which a ring is added anyway
SETTLED = 0.3  # share of poses that still move below which a ring is added
CONVERGED = 0.1  # share of poses that still move below which a start may end
GAIN = 0.005  # of the evidence, by which it must have risen for a start to go on: real images creep to the structure
UNDECIDED_NATS = 6.0  # evidence per image below which its pose, one of some ten thousand, is not decided by it alone
ENOUGH_NATS = 25.0  # evidence per image at which the particles of the first pass suffice; with less, more take part
MOST = 5.0  # times the particles of the first pass
GOLDEN = (5**0.5 - 1) / 2
SHARPNESS_FIRST, SHARPNESS_LAST, SHARPNESS_DECAY = 3.0, 1.5, 0.9


def sharpness_of(passes: int) -> float:
    """Exponent of the posterior in the E-step: around a random start all views are alike and part when pushed."""
    return SHARPNESS_LAST + (SHARPNESS_FIRST - SHARPNESS_LAST) * SHARPNESS_DECAY**passes


def particles_of_pass(folds: tuple[np.ndarray, ...], batch: int, passes: int) -> list[np.ndarray]:
    """The particles of every fold that a pass of about ``batch`` particles sees, after so many passes.

    Passes begin at steps of the golden section of a fold: all are seen alike often, and no set of them comes again.
    """
    share = min(1.0, batch / max(1, sum(len(fold) for fold in folds)))
    sizes = [max(1, round(share * len(fold))) for fold in folds]
    return [np.roll(fold, -round(passes * GOLDEN * len(fold)))[:size] for fold, size in zip(folds, sizes, strict=True)]


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """Where a start is on its way.

    rings: in use; here: passes that these rings have seen; batch: particles of a pass; first: of the first one;
    evidence: nats per image; settled: the poses have come to rest at the last number of rings and the evidence has
    stopped rising.

    The number of particles is chosen by evidence: a thousand of which each decides its own pose make a model, and where
    single images say less, more take part, until the structure is found. The first pass, whose posteriors are flat and
    dear, is one of few particles.
    """

    rings: int
    batch: int
    first: int
    here: int = 0
    evidence: float = 0.0
    settled: bool = False

    @property
    def decided(self) -> bool:
        """Whether single images decide their poses."""
        return self.evidence >= UNDECIDED_NATS

    @classmethod
    def start(cls, most_rings: int, batch: int) -> "Schedule":
        """At the first rings, or as many as there are."""
        return cls(rings=min(FIRST_RINGS, most_rings), batch=batch, first=batch)

    def next(self, *, moved: float, evidence: float, most_rings: int, most_particles: int) -> "Schedule":
        """After a pass in which a share ``moved`` of the poses moved, with a mean log evidence per image.

        At low SNR a start looks dead for ten passes and more, and then finds the structure within five: a rest is only
        believed where poses stay, and poses that noise decides do not stay on a grid that turns.
        """
        wanted = self.first * min(MOST, max(1.0, ENOUGH_NATS / max(evidence, 1e-3)))
        batch = min(most_particles, round(wanted))
        following = replace(self, batch=batch, here=self.here + 1, evidence=evidence)
        if self.rings < most_rings:
            up = moved < SETTLED or self.here + 1 >= PATIENCE
            return replace(following, rings=self.rings + 1, here=0) if up else following
        rests = self.here > 0 and evidence - self.evidence < GAIN * abs(evidence)
        return replace(following, settled=rests and moved < CONVERGED)
