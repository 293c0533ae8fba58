"""Find the hypotheses that matter: a coarse pass over everything, a fine one over what survives.

The coarse pass scores all references at all rotations and coarse shifts on the inner rings only; the fine pass takes
the references that survive, at all rotations and shifts. What the outer
rings can still change is random with a known spread: an image of reference k gains ``E/2 +- sqrt(E)`` from rings of
energy ``E = sum w C^2 |A|^2 / sigma^2``, so the margin below the best coarse score that must be kept is

    margin = keep + spread * sqrt(E)

with E of the best reference of that image; the bound is probabilistic, not certain (``spread`` standard deviations).
Everything within ``keep`` nats of the best after the fine pass is returned: what is dropped has less than
``exp(-keep)`` of the best hypothesis' weight.
"""

from dataclasses import dataclass, replace

import torch

from vitreous.matching.grid import PoseGrid
from vitreous.matching.score import ImageTile, References, Rows, best_rows, make_references, reference_norms, row_maxima

__all__ = ["SearchPlan", "find_rows", "plan_search"]

COARSE_FROM_RINGS = 8  # with fewer rings the exhaustive pass costs less than the bookkeeping of two
GROUP = 32  # images whose surviving references are joined in the fine pass
COARSE_SHARE = 0.6  # of the rings: the coarse pass costs about COARSE_SHARE^6 of the fine one


@dataclass(frozen=True, kw_only=True)
class SearchPlan:
    """The grids of the two passes; ``coarse`` is None where the fine grid is searched exhaustively.

    keep: nats below the best hypothesis of an image that are kept; spread: standard deviations of the margin;
    tile_scores: scores that exist at once (a few of this many floats stay in the processor's cache).
    """

    fine: PoseGrid
    coarse: PoseGrid | None = None
    keep: float = 10.0
    spread: float = 2.0
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
    candidates, best_reference = _survivors(tile, plan, coarse, fine)
    # Neighbours in this order share candidates, so a group meets few references more than each of its images needs.
    order = torch.argsort(best_reference, stable=True)
    groups = []
    for start in range(0, len(order), GROUP):
        members = order[start : start + GROUP]
        references = candidates[members].any(0).nonzero().ravel()
        rows = best_rows(part.take(members), fine.take(references), plan.keep, tile_scores=plan.tile_scores)
        groups.append(replace(rows, image=members[rows.image], reference=references[rows.reference]))
    image = torch.cat([g.image for g in groups])
    order = torch.argsort(image, stable=True)
    joined = {name: torch.cat([getattr(g, name) for g in groups])[order] for name in ("reference", "shift", "log_weight")}
    return Rows(image=image[order], **joined)


def _survivors(
    tile: ImageTile, plan: SearchPlan, coarse: References, fine: References
) -> tuple[torch.Tensor, torch.Tensor]:
    """(n, K) bool: references that may still win; (n,) the best one of the coarse pass."""
    scores = row_maxima(tile.truncated(coarse.grid), coarse, tile_scores=plan.tile_scores).amax(2)
    top, best = scores.max(1)
    part, inner = tile.truncated(fine.grid), tile.truncated(coarse.grid)
    everyone = torch.arange(len(tile), device=scores.device)
    outer = 2 * (reference_norms(part, fine, everyone, best) - reference_norms(inner, coarse, everyone, best))
    margin = plan.keep + plan.spread * outer.clamp_min(0).sqrt()
    return scores >= (top - margin)[:, None], best
