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

Both passes go through the references block by block; several tiles of images then share the work of shifting a block,
and the best score so far spares work in the next block. Where the references of an image are restricted, both passes
meet these only.

A pass over everything may remember the references that are close for every image (*contenders*: the survivors of a
coarse pass; those within ``contend`` nats of the best where there is none), so that following passes meet only these:
while averages change little, what was far behind stays behind.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import partial

import torch

from vitreous.matching.grid import PoseGrid
from vitreous.matching.references import (
    TILE_SCORES,
    ReferenceBlock,
    ReferenceBlocks,
    References,
    in_blocks,
    make_references,
)
from vitreous.matching.score import ImageTile, Rows, best_rows, reference_maxima, reference_norms
from vitreous.matching.workers import ordered_map

__all__ = ["KEEP_NATS", "SearchBlocks", "SearchPlan", "find_rows", "plan_search", "search_tiles"]

KEEP_NATS = 10.0  # hypotheses with less than exp(-10) of the best one's weight are dropped
COARSE_FROM_RINGS = 10  # with fewer rings the exhaustive pass costs less than the bookkeeping of two
CROWDED = 0.3  # share of survivors above which one sweep over everything is faster
COARSE_SHARE = 0.55  # of the rings: the coarse pass costs about COARSE_SHARE^6 of the fine one
COARSE_MEMORY = 1 / 4  # of the memory for shifted references; the coarse ones of K references are an eighth of the fine


@dataclass(frozen=True, kw_only=True)
class SearchBlocks:
    """The references of both passes in blocks; ``coarse`` is None where there is one pass."""

    coarse: ReferenceBlocks | None
    fine: ReferenceBlocks

    @property
    def resident(self) -> bool:
        """Whether all shifted references stay in memory: then nothing is gained by taking several tiles at once."""
        return self.fine.single and (self.coarse is None or self.coarse.single)


@dataclass(frozen=True, kw_only=True)
class SearchPlan:
    """The grids of the two passes; ``coarse`` is None where the fine grid is searched exhaustively.

    keep: nats below the best hypothesis of an image that are returned; coarse_keep, spread: of the module docstring;
    contend: of the module docstring (None: nothing is remembered);
    tile_scores: scores that exist at once (a few of this many floats stay in the processor's cache).
    """

    fine: PoseGrid
    coarse: PoseGrid | None = None
    keep: float = KEEP_NATS
    coarse_keep: float = 6.0
    spread: float = 1.0
    contend: float | None = None
    tile_scores: int = TILE_SCORES

    @property
    def notes(self) -> tuple[str, ...]:
        """What a user must know about the grids, such as shifts left out for want of memory."""
        return self.fine.notes

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

    def blocks(
        self, references: tuple[References | None, References], images: int, memory_bytes: int | None = None
    ) -> SearchBlocks:
        """The references in blocks for tiles of ``images`` images: shifted copies fit in ``memory_bytes``.

        Without a number of bytes all of them are in memory.
        """
        coarse, fine = references
        share = None if memory_bytes is None else int(COARSE_MEMORY * memory_bytes)
        rest = None if memory_bytes is None or share is None else memory_bytes - (share if coarse is not None else 0)
        return SearchBlocks(
            coarse=None
            if coarse is None
            else in_blocks(coarse, images, tile_scores=self.tile_scores, memory_bytes=share),
            fine=in_blocks(fine, images, tile_scores=self.tile_scores, memory_bytes=rest),
        )


def plan_search(fine: PoseGrid, offset_range_px: float, **options: float) -> SearchPlan:
    """Choose the coarse grid for a fine one (none for a few rings)."""
    if fine.rings < COARSE_FROM_RINGS:
        return SearchPlan(fine=fine, **options)  # type: ignore[arg-type]
    device = str(fine.shifts_px.device)
    rings = max(5, round(COARSE_SHARE * fine.rings))
    most = len(fine.shifts_px) if fine.notes else None
    coarse = PoseGrid.for_rings(fine.basis, rings, offset_range_px, most_shifts=most, device=device)
    return SearchPlan(fine=fine, coarse=coarse, **options)  # type: ignore[arg-type]


def find_rows(
    tiles: Sequence[ImageTile],
    plan: SearchPlan,
    blocks: SearchBlocks,
    *,
    allowed: Sequence[torch.Tensor] | None = None,
    threads: int = 1,
) -> list[Rows]:
    """Rows of every image within ``plan.keep`` nats of its best hypothesis, sorted by image, for every tile.

    allowed: for every tile the references (n, K) bool that its images may show. Tiles are shared by the threads.
    """
    return [found.rows for found in search_tiles(tiles, plan, blocks, allowed=allowed, threads=threads)]


def search_tiles(
    tiles: Sequence[ImageTile],
    plan: SearchPlan,
    blocks: SearchBlocks,
    *,
    allowed: Sequence[torch.Tensor] | None = None,
    threads: int = 1,
) -> list["Searched"]:
    """The rows of :func:`find_rows`, with the contenders that the plan asks for."""
    searched = [
        Searched.of(t.truncated(plan.fine), None if allowed is None else allowed[i]) for i, t in enumerate(tiles)
    ]
    if blocks.coarse is not None:
        _coarse_pass(searched, plan, blocks, threads)
    elif plan.contend is not None:
        for found in searched:
            found.highest = found.best.new_full((len(found.tile), blocks.fine.references.count), -torch.inf)
    for block in blocks.fine:
        for _ in ordered_map(partial(_search_block, plan=plan, block=block), searched, threads):
            pass
        del block  # else two blocks would be in memory while the next one is made
    for found in searched:
        if found.highest is not None and plan.contend is not None:
            found.contenders = found.highest >= (found.best - plan.contend)[:, None]
            found.highest = None
    return searched


@dataclass(kw_only=True)
class Searched:
    """A tile and what has been found so far: best (n,) log posterior, rows within reach of it.

    allowed: (n, K) bool, references that its images may show; survivors: those that may still win (None: all);
    contenders: those that are remembered; highest: (n, K) log posteriors of a pass over everything.
    """

    tile: ImageTile
    best: torch.Tensor
    allowed: torch.Tensor | None
    survivors: torch.Tensor | None
    contenders: torch.Tensor | None = None
    highest: torch.Tensor | None = None
    found: list[Rows] = field(default_factory=list)

    @classmethod
    def of(cls, tile: ImageTile, allowed: torch.Tensor | None) -> "Searched":
        best = torch.full((len(tile),), -torch.inf, device=tile.data.device)
        return cls(tile=tile, best=best, allowed=allowed, survivors=allowed)

    @property
    def rows(self) -> Rows:
        """Of the tile, sorted by image."""
        return self.found[0]

    def add(self, rows: list[Rows], keep: float) -> None:
        """Further rows, with their references counted over all blocks; rows out of reach are dropped."""
        for new in rows:
            self.best.scatter_reduce_(0, new.image, new.log_weight.amax(1), "amax")
        everything = [*self.found, *rows]
        self.found = everything if len(everything) == 1 else [_joined(everything, self.best - keep)]


def _search_block(searched: Searched, plan: SearchPlan, block: ReferenceBlock) -> None:
    """The fine pass of a tile over one block."""
    here = slice(block.first, block.first + block.references.count)
    tile, best = searched.tile, searched.best
    if searched.survivors is None or searched.survivors.float().mean() > CROWDED:
        allowed = None if searched.allowed is None else searched.allowed[:, here]
        highest = None if searched.highest is None else searched.highest[:, here]
        rows = best_rows(
            tile, block, plan.keep, known=best, allowed=allowed, highest=highest, tile_scores=plan.tile_scores
        )
        searched.add([rows], plan.keep)
        return
    rows_of = []
    reached = best.clone()
    for members, reference in _by_reference(block, searched.survivors[:, here]):
        rows = best_rows(tile.take(members), reference, plan.keep, known=reached[members], tile_scores=plan.tile_scores)
        image = members[rows.image]
        reached.scatter_reduce_(0, image, rows.log_weight.amax(1), "amax")
        rows_of.append(replace(rows, image=image))
    searched.add(rows_of, plan.keep)


def _by_reference(block: ReferenceBlock, wanted: torch.Tensor) -> Iterator[tuple[torch.Tensor, ReferenceBlock]]:
    """(images (m,), reference) for every reference of the block that some image wants, of wanted (n, K) bool."""
    for k in wanted.any(0).nonzero().ravel().tolist():
        yield wanted[:, k].nonzero().ravel(), block.single(k)


def _joined(found: list[Rows], floor: torch.Tensor) -> Rows:
    """All rows that reach the floor (n,) of their image, sorted by image."""
    rows = Rows(**{f.name: torch.cat([getattr(r, f.name) for r in found]) for f in fields(Rows)})
    kept = (rows.log_weight.amax(1) >= floor[rows.image]).nonzero().ravel()
    return rows.take(kept[torch.argsort(rows.image[kept], stable=True)])


def _coarse_pass(searched: list[Searched], plan: SearchPlan, blocks: SearchBlocks, threads: int) -> None:
    """Find the references that may still win, and the contenders."""
    assert blocks.coarse is not None
    coarse, fine = blocks.coarse.references, blocks.fine.references
    scores = [torch.empty(len(s.tile), coarse.count, device=s.best.device) for s in searched]
    for block in blocks.coarse:
        here = slice(block.first, block.first + block.references.count)
        found = ordered_map(partial(_coarse_scores, plan=plan, block=block), searched, threads)
        for all_scores, new in zip(scores, found, strict=True):
            all_scores[:, here] = new
        del block, found
    for part, all_scores in zip(searched, scores, strict=True):
        top, best = all_scores.max(1)
        everyone = torch.arange(len(top), device=top.device)
        inner = part.tile.truncated(coarse.grid)
        outer = 2 * (reference_norms(part.tile, fine, everyone, best) - reference_norms(inner, coarse, everyone, best))
        margin = plan.coarse_keep + plan.spread * outer.clamp_min(0).sqrt()
        part.survivors = all_scores >= (top - margin)[:, None]
        if plan.contend is not None:
            part.contenders = part.survivors


def _coarse_scores(searched: Searched, plan: SearchPlan, block: ReferenceBlock) -> torch.Tensor:
    """Highest log posterior of every image with every reference of a block, (n, K); -inf where not allowed."""
    tile = searched.tile.truncated(block.references.grid)
    if searched.allowed is None:
        return reference_maxima(tile, block, tile_scores=plan.tile_scores)
    wanted = searched.allowed[:, block.first : block.first + block.references.count]
    if wanted.float().mean() > CROWDED:
        return reference_maxima(tile, block, tile_scores=plan.tile_scores).masked_fill_(~wanted, -torch.inf)
    scores = torch.full(wanted.shape, -torch.inf, device=tile.data.device)
    for members, reference in _by_reference(block, wanted):
        k = reference.first - block.first
        scores[members, k] = reference_maxima(tile.take(members), reference, tile_scores=plan.tile_scores)[:, 0]
    return scores
