"""Marching in resolution: ring by ring, no farther than the references resolve, no faster than particles settle."""

from dataclasses import dataclass, replace

from vitreous.matching.prepare import PreparedParticles

__all__ = ["CONVERGED", "FIRST_RINGS", "March", "pass_size", "ring_limit"]

FIRST_RINGS = 5  # about 4.4 cycles across the particle
AHEAD = 2  # rings beyond what is resolved
SETTLED = 0.15  # share of particles that still change reference below which a ring is added
PATIENCE = 4  # passes at one resolution after which a ring is added anyway
CONVERGED = 0.03  # share of changes below which it ends, at the final resolution
SUBSET_GROWTH = 1.25


@dataclass(frozen=True, kw_only=True)
class March:
    """rings: in use; passes: that these rings have seen; limit: rings that could be used; converged: it has ended."""

    rings: int
    passes: int = 0
    limit: int = FIRST_RINGS
    converged: bool = False

    @classmethod
    def start(cls, most: int) -> "March":
        """At the first rings, or as many as there are."""
        return cls(rings=min(FIRST_RINGS, most))

    def next(self, *, changed: float, resolved: int, most: int) -> "March":
        """After a pass in which a share ``changed`` of the particles changed their reference.

        resolved: rings with more signal than noise in the references; most: that the data and the user allow.
        """
        limit = min(max(resolved + AHEAD, FIRST_RINGS), most)
        if self.rings < limit and (changed < SETTLED or self.passes + 1 >= PATIENCE):
            return March(rings=self.rings + 1, limit=limit)
        converged = self.rings >= limit and changed < CONVERGED
        return replace(self, passes=self.passes + 1, limit=limit, converged=converged)


def pass_size(first: int, n: int, iteration: int) -> int:
    """Particles of n that a pass sees: ``first``, and a quarter more in every pass."""
    return int(min(n, first * SUBSET_GROWTH**iteration))


def ring_limit(data: PreparedParticles, resolution_limit_A: float | None) -> int:
    """Rings that a resolution limit and the Nyquist frequency allow."""
    full = data.preparation.working_basis(1 << 20).rings
    if resolution_limit_A is None:
        return full
    window_A = data.basis.window_px * data.pixel_size_A
    return max(1, min(full, int(window_A / resolution_limit_A)))
