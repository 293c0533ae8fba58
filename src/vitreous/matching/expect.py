"""One E-step over a batch of particles: score, choose, accumulate; and what is remembered of every particle."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch

from vitreous.matching.accumulate import Accumulator, DenseSums, Sums, TileSums, class_posteriors, tile_sums
from vitreous.matching.alignments import Alignments
from vitreous.matching.candidates import Candidates
from vitreous.matching.choice import Choice, Chosen, soft
from vitreous.matching.grid import PoseGrid
from vitreous.matching.prepare import SHIFTED_SHARE, PreparedParticles
from vitreous.matching.references import References
from vitreous.matching.score import ImageTile, Rows, compared_rows
from vitreous.matching.search import Searched, SearchPlan, search_tiles
from vitreous.matching.similarity import Similarity
from vitreous.matching.workers import ordered_map
from vitreous.processes import joined

__all__ = ["Outcome", "expect", "expect_into"]

T = TypeVar("T")

TILE = 512  # particles matched at a time
TILE_BYTES = 128 << 20  # of a tile and the hypotheses that it keeps
PER_REFERENCE = 80  # images of a tile that should meet a reference in the second pass: fewer are slow products
GROUP_SHARE = 1 / 8  # of the memory, for tiles that share the shifting of references
ROWS_KEPT = 100  # hypotheses of an image that pass through a choice, to estimate memory with


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The best hypothesis of n particles and how sure it is; NumPy arrays of shape (n,), shift_px (n, 2).

    reference: int; psi_rad; shift_px: u in the class frame, pixels of the working images; max_probability: of the
    single best hypothesis; class_probability: of its class; next_probability: of the next best class; entropy: of
    the class posterior in nats; significant: number of hypotheses within the pruning margin; log_evidence: log
    marginal likelihood.
    """

    reference: np.ndarray
    psi_rad: np.ndarray
    shift_px: np.ndarray
    max_probability: np.ndarray
    class_probability: np.ndarray
    next_probability: np.ndarray
    entropy: np.ndarray
    significant: np.ndarray
    log_evidence: np.ndarray
    contenders: np.ndarray  # (n, bytes) uint8, a bit for every reference; no bytes where the plan remembers none

    @classmethod
    def of_none(cls, contender_bytes: int = 0) -> "Outcome":
        """Of no particles: a process may have none of a small fold."""
        none = np.zeros(0, np.float32)
        return cls(
            reference=np.zeros(0, np.int64),
            psi_rad=none,
            shift_px=np.zeros((0, 2), np.float32),
            max_probability=none,
            class_probability=none,
            next_probability=none,
            entropy=none,
            significant=np.zeros(0, np.int64),
            log_evidence=none,
            contenders=np.zeros((0, contender_bytes), np.uint8),
        )

    def alignments(self, particle: np.ndarray, pixel_size_A: float) -> Alignments:
        """The best hypotheses of particles (n,), whose working images have pixels of that size."""
        return Alignments.from_shifts(particle, self.reference, self.psi_rad, self.shift_px * pixel_size_A)


def expect(
    particles: PreparedParticles,
    index: np.ndarray,
    plan: SearchPlan,
    references: tuple[References | None, References],
    noise_power: torch.Tensor,
    *,
    choice: Choice = soft,
    similarity: Similarity | None = None,
    candidates: Candidates | None = None,
    tile: int | None = None,
) -> tuple[Sums, Outcome]:
    """Match particles ``index`` (m,) against references and sum them up; bad particles must not be in ``index``.

    similarity: what the choice sees in place of log posteriors, by which the search goes all the same. candidates: of
    particle ``index[i]``, the references that it may show. tile: particles at a time (None: as many as
    are fast). Tiles are worked on by ``particles.threads`` threads; the result does not depend on how many.
    """
    grid = plan.fine
    sums = DenseSums(references[1].count, grid.rings, grid.harmonics, particles.device)
    outcome = expect_into(
        sums, particles, index, plan, references, noise_power, choice=choice, similarity=similarity,
        candidates=candidates, tile=tile,
    )  # fmt: skip
    return sums.sums, outcome


def expect_into(
    sums: Accumulator,
    particles: PreparedParticles,
    index: np.ndarray,
    plan: SearchPlan,
    references: tuple[References | None, References],
    noise_power: torch.Tensor,
    *,
    choice: Choice = soft,
    similarity: Similarity | None = None,
    candidates: Candidates | None = None,
    tile: int | None = None,
) -> Outcome:
    """As :func:`expect`, with the sums of every tile added to ``sums``, in the order of the tiles."""
    n_references = references[1].count
    if len(index) == 0:
        return Outcome.of_none(0 if plan.contend is None else -(-n_references // 8))
    places = tiles_of(np.arange(len(index)), tile or _tile(plan, n_references, restricted=candidates is not None))
    blocks = plan.blocks(references, len(places[0]), int(SHIFTED_SHARE * particles.memory_bytes))

    def finish(found: tuple[ImageTile, Searched]) -> tuple[TileSums, Outcome]:
        images, rows = found[0], found[1].rows
        if similarity is not None:
            rows = compared_rows(images, references[1], rows, similarity)
        chosen = choice(rows, len(images))
        new = tile_sums(images, plan.fine, rows, chosen, n_references)
        return new, _outcome(rows, chosen, plan.fine, len(images), n_references, found[1].contenders)

    def match(group: list[np.ndarray], threads: int) -> list[tuple[TileSums, Outcome]]:
        tiles = [particles.tile(index[part], plan.fine.rings, noise_power) for part in group]
        allowed = None if candidates is None else [_mask(candidates, part, particles.device) for part in group]
        searched = search_tiles(tiles, plan, blocks, allowed=allowed, threads=threads)
        return list(ordered_map(finish, zip(tiles, searched, strict=True), threads))

    outcomes = []
    for tiles_done in by_groups(match, places, plan, particles, n_references, resident=blocks.resident):
        for new, outcome in tiles_done:
            sums.add(new)
            outcomes.append(outcome)
    return joined(outcomes)


def by_groups(
    match: Callable[[list[np.ndarray], int], T], places: list[np.ndarray], plan: SearchPlan,
    particles: PreparedParticles, n_references: int, *, resident: bool,
) -> Iterator[T]:  # fmt: skip
    """``match(tiles, threads)`` of groups of tiles.

    Where all shifted references stay in memory a group is one tile, and threads take groups; otherwise a group is as
    many tiles as the memory holds, for which every block of references is shifted once, and threads share its tiles.
    """
    if resident:
        yield from ordered_map(lambda part: match([part], 1), places, particles.threads)
        return
    grid = plan.fine
    per_image = _bytes_per_image(grid) + 6 * n_references
    size = max(1, int(GROUP_SHARE * particles.memory_bytes) // (per_image * len(places[0])))
    for i in range(0, len(places), size):
        yield match(places[i : i + size], particles.threads)


def _tile(plan: SearchPlan, n_references: int, *, restricted: bool) -> int:
    """Particles at a time: more where each of many references meets few of them.

    A search of everything works in pieces of its own size, and its rows may fill the memory.
    """
    if plan.coarse is None and not restricted:
        return TILE
    return max(TILE, min(PER_REFERENCE * n_references, TILE_BYTES // _bytes_per_image(plan.fine)))


def _bytes_per_image(grid: PoseGrid) -> int:
    """Of its rings, and of the hypotheses that pass through a choice."""
    return 8 * grid.rings * grid.harmonics + ROWS_KEPT * 4 * grid.n_psi


def _mask(candidates: Candidates, places: np.ndarray, device: str) -> torch.Tensor:
    return torch.from_numpy(candidates.mask(places)).to(device)


def tiles_of(index: np.ndarray, most: int) -> list[np.ndarray]:
    """Nearly equal parts of at most ``most`` particles."""
    return np.array_split(index, max(1, -(-len(index) // most)))


def _outcome(
    rows: Rows, chosen: Chosen, grid: PoseGrid, n: int, n_references: int, contenders: torch.Tensor | None
) -> Outcome:
    device = chosen.weight.device
    top, psi = chosen.weight.max(1)
    best = torch.full((n,), -1.0, device=device).scatter_reduce_(0, rows.image, top, "amax")
    at = (top == best[rows.image]).nonzero().ravel()
    first = torch.full((n,), len(top), device=device).scatter_reduce_(0, rows.image[at], at, "amin")
    touched, posterior = class_posteriors(rows, chosen, n, n_references)
    reference = rows.reference[first]
    column = torch.searchsorted(touched, reference)[:, None]
    others = posterior.scatter(1, column, 0.0)
    close = (rows.log_weight >= rows.log_weight[first].amax(1)[rows.image, None] - 10).sum(1)
    return Outcome(
        reference=reference.cpu().numpy(),
        psi_rad=grid.psi[psi[first]].cpu().numpy(),
        shift_px=grid.shifts_px[rows.shift[first]].cpu().numpy(),
        max_probability=best.cpu().numpy(),
        class_probability=posterior.gather(1, column)[:, 0].cpu().numpy(),
        next_probability=others.amax(1).cpu().numpy(),
        entropy=torch.special.entr(posterior).sum(1).cpu().numpy(),
        significant=torch.zeros(n, dtype=torch.long, device=device).index_add_(0, rows.image, close).cpu().numpy(),
        log_evidence=chosen.log_evidence.cpu().numpy(),
        contenders=np.zeros((n, 0), np.uint8) if contenders is None else np.packbits(contenders.cpu().numpy(), axis=1),
    )
