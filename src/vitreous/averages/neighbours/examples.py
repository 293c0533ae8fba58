"""A few particles with their neighbours, aligned, and averages over more and more of them: for eyes to judge."""

from dataclasses import dataclass

import numpy as np
import torch

from vitreous.averages.covariance import working_images
from vitreous.averages.neighbours.averaging import average_neighbours
from vitreous.averages.neighbours.candidates import NeighbourLists
from vitreous.averages.neighbours.pairs import into_frame
from vitreous.averages.neighbours.result import NeighboursResult
from vitreous.averages.neighbours.task import NeighboursRun
from vitreous.randomness import generator

__all__ = ["NeighbourExamples", "neighbour_examples"]

SIZES = (10, 20, 30)


@dataclass(frozen=True, kw_only=True)
class NeighbourExamples:
    """m particles, J neighbours of each, averages over S numbers of neighbours; box L; NumPy arrays.

    Single images are centred, normalised, and band-limited to the basis inside the particle's disc; neighbours are
    aligned to their particle. Particles descend in the mean affinity of their neighbours.
    """

    particle: np.ndarray  # (m,) rows of the particle table from 0
    affinity: np.ndarray  # (m,) mean over all neighbours
    images: np.ndarray  # (m, L, L)
    sizes: np.ndarray  # (S,) neighbours in an average
    averages: np.ndarray  # (m, S, L, L)
    neighbour: np.ndarray  # (m, J) rows from 0
    mirrored: np.ndarray  # (m, J)
    neighbour_images: np.ndarray  # (m, J, L, L)


def neighbour_examples(
    run: NeighboursRun, result: NeighboursResult, *, count: int = 12, shown: int = 3, sizes: tuple[int, ...] = SIZES
) -> NeighbourExamples:
    """Up to ``count`` particles drawn at random, with ``shown`` neighbours each.

    Averages are over as many neighbours as ``sizes`` says, as far as there are more than that, and over all.
    """
    good, n = np.flatnonzero(result.weight > 0), len(result.weight)
    seed = run.settings.seed
    chosen = np.sort(generator(seed, "examples").choice(len(good), min(count, len(good)), replace=False))
    quality = result.affinity[good[chosen]].mean(1)
    chosen = chosen[np.argsort(-quality, kind="stable")]
    rows, place = good[chosen], np.full(n, -1)
    place[good] = np.arange(len(good))
    lists = NeighbourLists(
        index=torch.from_numpy(place[result.neighbours[good]]),
        mirrored=torch.from_numpy(result.mirrored[good]),
        psi_rad=torch.deg2rad(torch.from_numpy(result.psi_deg[good])),
        affinity=torch.from_numpy(result.affinity[good]),
    )
    most = result.neighbours.shape[1]
    used = [*(size for size in sizes if size < most), most]
    averages = [average_neighbours(run.data().images, _nearest(lists, size), torch.from_numpy(chosen)) for size in used]
    neighbour = result.neighbours[rows, :shown]
    return NeighbourExamples(
        particle=rows,
        affinity=result.affinity[rows].mean(1),
        images=_single_images(run, rows, np.zeros(len(rows)), np.zeros(len(rows), bool)),
        sizes=np.array(used),
        averages=np.stack([run.picture(average.components).numpy() for average in averages], 1),
        neighbour=neighbour,
        mirrored=result.mirrored[rows, :shown],
        neighbour_images=_single_images(
            run, neighbour.ravel(), result.psi_deg[rows, :shown].ravel(), result.mirrored[rows, :shown].ravel()
        ).reshape(*neighbour.shape, *result.averages.shape[1:]),
    )


def _nearest(lists: NeighbourLists, size: int) -> NeighbourLists:
    return NeighbourLists(
        index=lists.index[:, :size],
        mirrored=lists.mirrored[:, :size],
        psi_rad=lists.psi_rad[:, :size],
        affinity=lists.affinity[:, :size],
    )


def _single_images(run: NeighboursRun, rows: np.ndarray, psi_deg: np.ndarray, mirrored: np.ndarray) -> np.ndarray:
    """Particles as they were recorded, mirrored where asked for, then turned: (m, L, L)."""
    plan = run.data().matched.plan
    images = working_images(run.particles, plan, rows)[0]
    psi = torch.deg2rad(torch.from_numpy(psi_deg).float())
    moved = into_frame(plan.basis.expand(images), plan.basis.orders, psi, torch.from_numpy(mirrored))
    return plan.basis.evaluate(moved).numpy()
