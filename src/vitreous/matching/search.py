"""Find the hypotheses that matter: a coarse pass over everything, a fine one over what survives.

The coarse pass scores all references at all rotations and coarse shifts on the inner rings only; the fine pass takes
the references that survive, at all rotations and shifts. What the outer
rings can still change is random with a known spread: an image of reference k gains ``E/2 +- sqrt(E)`` from rings of
energy ``E = sum w C^2 |A|^2 / sigma^2``, so the margin below the best coarse score that must be kept is

    margin = keep + spread * sqrt(E)

with E of the best reference of that image. The bound is probabilistic: the best reference is missed for about 3
images in 1,000 (benchmarks, "pruning").
Everything within ``keep`` nats of the best after the fine pass is returned: what is dropped has less than
``exp(-keep)`` of the best hypothesis' weight.
"""

from dataclasses import dataclass, replace

import torch

from vitreous.matching.grid import PoseGrid
from vitreous.matching.score import ImageTile, References, Rows, best_rows, make_references, reference_norms, row_maxima

__all__ = ["KEEP_NATS", "SearchPlan", "find_rows", "plan_search"]

KEEP_NATS = 10.0  # hypotheses with less than exp(-10) of the best one's weight are dropped
COARSE_FROM_RINGS = 10  # with fewer rings the exhaustive pass costs less than the bookkeeping of two
CROWDED = 0.3  # share of survivors above which one sweep over everything is faster
COARSE_SHARE = 0.6  # of the rings: the coarse pass costs about COARSE_SHARE^6 of the fine one


@dataclass(frozen=True, kw_only=True)
class SearchPlan:
    """The grids of the two passes; ``coarse`` is None where the fine grid is searched exhaustively.

    keep: nats below the best hypothesis of an image that are returned; coarse_keep, spread: of the module docstring;
    tile_scores: scores that exist at once (a few of this many floats stay in the processor's cache).
    """

    fine: PoseGrid
    coarse: PoseGrid | None = None
    keep: float = KEEP_NATS
    coarse_keep: float = 6.0
    spread: float = 1.0
    tile_scores: int = 1 << 19

    def references(
        self, harmonics: torch.Tensor, *, ctf_harmonics: int, log_class_prior: torch.Tensor, offset_sd_px: float
    ) -> tuple[References | None, References]:
        """The references (K, R, Q) prepared for both passes: (coarse or None, fine)."""

        def prepare(grid: PoseGrid) -> References:
            return make_references(
                grid,
                harmonics[:, : grid.rings, : grid.harmonics],
                ctf_harmonics=ctf_harmonics,
                log_class_prior=log_class_prior,
                offset_sd_px=offset_sd_px,
            )

        return (None if self.coarse is None else prepare(self.coarse)), prepare(self.fine)


def plan_search(fine: PoseGrid, offset_range_px: float, **options: float) -> SearchPlan:
    """Choose the coarse grid for a fine one (none for a few rings)."""
    if fine.rings < COARSE_FROM_RINGS:
        return SearchPlan(fine=fine, **options)  # type: ignore[arg-type]
    device = str(fine.shifts_px.device)
    coarse = PoseGrid.for_rings(fine.basis, max(5, round(COARSE_SHARE * fine.rings)), offset_range_px, device=device)
    return SearchPlan(fine=fine, coarse=coarse, **options)  # type: ignore[arg-type]


def find_rows(tile: ImageTile, plan: SearchPlan, coarse: References | None, fine: References) -> Rows:
    """Rows of every image within ``plan.keep`` nats of its best hypothesis, sorted by image."""
    part = tile.truncated(fine.grid)
    if coarse is None:
        return best_rows(part, fine, plan.keep, tile_scores=plan.tile_scores)
    candidates = _survivors(tile, plan, coarse, fine)
    if candidates.float().mean() > CROWDED:
        return best_rows(part, fine, plan.keep, tile_scores=plan.tile_scores)
    best = torch.full((len(tile),), -torch.inf, device=part.data.device)
    found = []
    # Reference by reference: all images that it may still explain, at all of its rotations and shifts.
    for reference in candidates.any(0).nonzero().ravel():
        members = candidates[:, reference].nonzero().ravel()
        rows = best_rows(
            part.take(members),
            fine.take(reference[None]),
            plan.keep,
            known=best[members],
            tile_scores=plan.tile_scores,
        )
        image = members[rows.image]
        best.scatter_reduce_(0, image, rows.log_weight.amax(1), "amax")
        found.append(replace(rows, image=image, reference=reference.expand(len(image))))
    return _joined(found, best - plan.keep)


def _joined(found: list[Rows], floor: torch.Tensor) -> Rows:
    """All rows that reach the floor (n,) of their image, sorted by image."""
    image, reference, shift = (torch.cat([getattr(r, name) for r in found]) for name in ("image", "reference", "shift"))
    log_weight = torch.cat([r.log_weight for r in found])
    kept = (log_weight.amax(1) >= floor[image]).nonzero().ravel()
    kept = kept[torch.argsort(image[kept], stable=True)]
    return Rows(image=image[kept], reference=reference[kept], shift=shift[kept], log_weight=log_weight[kept])


def _survivors(tile: ImageTile, plan: SearchPlan, coarse: References, fine: References) -> torch.Tensor:
    """(n, K) bool: references that may still win."""
    scores = row_maxima(tile.truncated(coarse.grid), coarse, tile_scores=plan.tile_scores).amax(2)
    top, best = scores.max(1)
    part, inner = tile.truncated(fine.grid), tile.truncated(coarse.grid)
    everyone = torch.arange(len(tile), device=scores.device)
    outer = 2 * (reference_norms(part, fine, everyone, best) - reference_norms(inner, coarse, everyone, best))
    margin = plan.coarse_keep + plan.spread * outer.clamp_min(0).sqrt()
    return scores >= (top - margin)[:, None]
