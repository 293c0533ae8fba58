"""One E-step over a batch of particles: score, choose, accumulate; and what is remembered of every particle."""

from dataclasses import dataclass

import numpy as np
import torch

from vitreous.matching.accumulate import Sums, accumulate, class_posteriors, merge_sums, zero_sums
from vitreous.matching.alignments import Alignments
from vitreous.matching.choice import Choice, Chosen, soft
from vitreous.matching.grid import PoseGrid
from vitreous.matching.prepare import PreparedParticles
from vitreous.matching.score import References, Rows
from vitreous.matching.search import SearchPlan, find_rows
from vitreous.matching.workers import ordered_map
from vitreous.processes import joined

__all__ = ["Outcome", "expect"]

TILE = 512  # particles matched at a time


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
    tile: int = TILE,
) -> tuple[Sums, Outcome]:
    """Match particles ``index`` (m,) against references and accumulate them; bad particles must not be in ``index``.

    Tiles are worked on by ``particles.threads`` threads; the result does not depend on how many.
    """
    coarse, fine = references
    grid = plan.fine

    def one(part: np.ndarray) -> tuple[Sums, Outcome]:
        images = particles.tile(part, grid.rings, noise_power)
        rows = find_rows(images, plan, coarse, fine)
        chosen = choice(rows, len(images))
        empty = zero_sums(fine.count, grid.rings, grid.harmonics, particles.device)
        return accumulate(empty, images, grid, rows, chosen), _outcome(rows, chosen, grid, len(images), fine.count)

    sums = zero_sums(fine.count, grid.rings, grid.harmonics, particles.device)
    outcomes = []
    for tile_sums, outcome in ordered_map(one, _tiles(index, tile), particles.threads):
        sums = merge_sums(sums, tile_sums)
        outcomes.append(outcome)
    return sums, joined(outcomes)


def _tiles(index: np.ndarray, most: int) -> list[np.ndarray]:
    """Nearly equal parts of at most ``most`` particles."""
    return np.array_split(index, max(1, -(-len(index) // most)))


def _outcome(rows: Rows, chosen: Chosen, grid: PoseGrid, n: int, n_references: int) -> Outcome:
    device = chosen.weight.device
    top, psi = chosen.weight.max(1)
    best = torch.full((n,), -1.0, device=device).scatter_reduce_(0, rows.image, top, "amax")
    at = (top == best[rows.image]).nonzero().ravel()
    first = torch.full((n,), len(top), device=device).scatter_reduce_(0, rows.image[at], at, "amin")
    posterior = class_posteriors(rows, chosen, n, n_references)
    reference = rows.reference[first]
    others = posterior.scatter(1, reference[:, None], 0.0)
    close = (rows.log_weight >= rows.log_weight[first].amax(1)[rows.image, None] - 10).sum(1)
    return Outcome(
        reference=reference.cpu().numpy(),
        psi_rad=grid.psi[psi[first]].cpu().numpy(),
        shift_px=grid.shifts_px[rows.shift[first]].cpu().numpy(),
        max_probability=best.cpu().numpy(),
        class_probability=posterior.gather(1, reference[:, None])[:, 0].cpu().numpy(),
        next_probability=others.amax(1).cpu().numpy(),
        entropy=torch.special.entr(posterior).sum(1).cpu().numpy(),
        significant=torch.zeros(n, dtype=torch.long, device=device).index_add_(0, rows.image, close).cpu().numpy(),
        log_evidence=chosen.log_evidence.cpu().numpy(),
    )


def accumulate_fixed(
    particles: PreparedParticles,
    index: np.ndarray,
    reference: np.ndarray,
    psi_rad: np.ndarray,
    n_references: int,
    noise_power: torch.Tensor,
    *,
    tile: int = 512,
) -> Sums:
    """Statistics of particles ``index`` (m,) at given classes and rotations (m,), unshifted, at all rings."""
    basis, device = particles.basis, particles.device
    sums = zero_sums(n_references, basis.rings, basis.harmonics, device)
    for start in range(0, len(index), tile):
        piece = slice(start, start + tile)
        images = particles.tile(index[piece], basis.rings, noise_power)
        label = torch.from_numpy(reference[piece]).to(device)
        angle = torch.from_numpy(psi_rad[piece]).to(device)[:, None] * torch.arange(basis.harmonics, device=device)
        turn = torch.polar(torch.ones_like(angle), -angle).to(torch.complex64)
        ones = torch.ones(len(label), device=device)
        sums.signal.index_add_(0, label, images.data * turn[:, None, :])
        sums.power.index_add_(0, label, images.ctf_power[:, :, 0].real.contiguous())
        sums.members.index_add_(0, label, ones)
        sums.square_members.index_add_(0, label, ones)
    return sums
