"""Nearest neighbours by the inner product of features, of an image with others and with their mirror images."""

from dataclasses import dataclass

import numpy as np
import torch

from vitreous.averages.neighbours.candidates import NeighbourLists
from vitreous.averages.neighbours.profiles import exchange_mirror
from vitreous.matching.workers import ordered_map
from vitreous.processes import ALONE, Processes, joined

__all__ = ["candidate_cells", "nearest_profiles"]

EXHAUSTIVE = 25_000  # images up to which all pairs are compared
CANDIDATES = 6000  # images that one is compared with beyond that
TILE_BYTES = 64 << 20


@dataclass(frozen=True, kw_only=True)
class _Cell:
    """Images and those that they are compared with."""

    members: torch.Tensor
    candidates: torch.Tensor


def nearest_profiles(
    features: torch.Tensor,
    k: int,
    *,
    threads: int = 1,
    exhaustive: int = EXHAUSTIVE,
    candidates: int = CANDIDATES,
    processes: Processes = ALONE,
) -> NeighbourLists:
    """The k images of largest inner product with each of n, itself excepted: features (n, D) of unit length.

    Up to ``exhaustive`` images all pairs are compared. Beyond, images are put into cells by their largest entry, and
    compared with the members of the cells most alike, ``candidates`` images or a few more. Memory: 64 MB per thread
    beside the features. ``psi_rad`` is NaN, see :func:`relative_rotations`. Raises ValueError where k is not below n.
    """
    n = len(features)
    if not 1 <= k < n:
        raise ValueError(f"neighbours: expected 1 to {n - 1} of {n} usable images, found {k}")
    everything = torch.arange(n)
    if n <= exhaustive:
        cells = [_Cell(members=everything, candidates=everything)]
    else:
        cells = candidate_cells(features, max(candidates, 4 * k))
    work = []
    for cell in cells:
        step = max(1, TILE_BYTES // (12 * len(cell.candidates)))
        work += [_Cell(members=part, candidates=cell.candidates) for part in cell.members.split(step)]

    def search(cell: _Cell) -> _Nearest:
        plain = features if len(cell.candidates) == n else features[cell.candidates]
        mine = features[cell.members]
        straight, turned = mine @ plain.T, exchange_mirror(mine) @ plain.T
        flipped = turned > straight
        best = torch.maximum(straight, turned)
        best[cell.members[:, None] == cell.candidates] = -1
        affinity, found = best.topk(k, dim=1)
        return _Nearest(
            image=cell.members.numpy(),
            index=cell.candidates[found].numpy(),
            mirrored=flipped.gather(1, found).numpy(),
            affinity=affinity.numpy(),
        )

    mine = [_none(k), *ordered_map(search, work[processes.rank :: processes.size], threads)]
    found = processes.gather(joined(mine))
    order = np.argsort(found.image)
    index, mirrored, affinity = (
        torch.from_numpy(values[order]) for values in (found.index, found.mirrored, found.affinity)
    )
    return NeighbourLists(
        index=index, mirrored=mirrored, psi_rad=torch.full_like(affinity, torch.nan), affinity=affinity
    )


@dataclass(frozen=True, kw_only=True)
class _Nearest:
    """image: (m,) which; index, mirrored, affinity: (m, k), as in :class:`NeighbourLists`."""

    image: np.ndarray
    index: np.ndarray
    mirrored: np.ndarray
    affinity: np.ndarray


def _none(k: int) -> _Nearest:
    """Of no image: a process may have nothing to do."""
    return _Nearest(
        image=np.zeros(0, np.int64),
        index=np.zeros((0, k), np.int64),
        mirrored=np.zeros((0, k), bool),
        affinity=np.zeros((0, k), np.float32),
    )


def candidate_cells(features: torch.Tensor, candidates: int) -> list[_Cell]:
    """Cells of images with the same largest entry, mirror states put together, and what each is compared with."""
    n = len(features)
    largest = features.argmax(1)
    label = np.unique((largest // 2).numpy(), return_inverse=True)[1]
    cells = int(label.max()) + 1
    which = torch.from_numpy(label)
    upright = torch.where((largest % 2 == 1)[:, None], exchange_mirror(features), features)
    centre = torch.zeros(cells, features.shape[1]).index_add_(0, which, upright)
    centre /= centre.norm(dim=1, keepdim=True)
    alike = torch.maximum(centre @ centre.T, centre @ exchange_mirror(centre).T)
    members = [torch.nonzero(which == c)[:, 0] for c in range(cells)]
    size = torch.tensor([len(m) for m in members])
    out = []
    for c in range(cells):
        order = alike[c].argsort(descending=True)
        enough = int((size[order].cumsum(0) < min(candidates, n)).sum()) + 1
        chosen = torch.cat([members[o] for o in order[:enough].tolist()]).sort().values
        out.append(_Cell(members=members[c], candidates=chosen))
    return out
