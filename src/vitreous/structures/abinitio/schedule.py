"""What the next pass of a start does: rings, particles, sharpness, and whether there is a next one."""

from dataclasses import dataclass, replace

__all__ = ["FIRST_RINGS", "Schedule", "sharpness_of"]

FIRST_RINGS = 5
PATIENCE = 2  # passes at one number of rings after which a ring is added anyway
SETTLED = 0.3  # share of poses that still move below which a ring is added
CONVERGED = 0.1  # share of poses that still move below which a start may end
GAIN = 0.02  # of the evidence, by which it must have risen for a start to go on
UNDECIDED_NATS = 6.0  # evidence per image below which its pose, one of some ten thousand, is not decided by it alone
GROWTH = 1.06  # of the particles, in every pass in which single images decide little
SHARPNESS_FIRST, SHARPNESS_LAST, SHARPNESS_DECAY = 3.0, 1.5, 0.9


def sharpness_of(passes: int) -> float:
    """Exponent of the posterior in the E-step: around a random start all views are alike and part when pushed."""
    return SHARPNESS_LAST + (SHARPNESS_FIRST - SHARPNESS_LAST) * SHARPNESS_DECAY**passes


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """rings: in use; here: passes that these rings have seen; batch: particles of a pass; evidence: nats per image.

    The number of particles is chosen by evidence: some hundreds of which each decides its own pose make a model, and
    where they do not, more and more take part.

    settled: the poses have come to rest at the last number of rings and the evidence has stopped rising.
    """

    rings: int
    batch: int
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
        return cls(rings=min(FIRST_RINGS, most_rings), batch=batch)

    def next(self, *, moved: float, evidence: float, most_rings: int, most_particles: int) -> "Schedule":
        """After a pass in which a share ``moved`` of the poses moved, with a mean log evidence per image.

        At low SNR a start looks dead for ten passes and more, and then finds the structure within five: a rest is only
        believed where poses stay, and poses that noise decides do not stay on a grid that turns.
        """
        more = round(GROWTH * self.batch) if evidence < UNDECIDED_NATS else self.batch
        following = replace(self, batch=min(most_particles, more), here=self.here + 1, evidence=evidence)
        if self.rings < most_rings:
            up = moved < SETTLED or self.here + 1 >= PATIENCE
            return replace(following, rings=self.rings + 1, here=0) if up else following
        rests = self.here > 0 and evidence - self.evidence < GAIN * abs(evidence)
        return replace(following, settled=rests and moved < CONVERGED)
