"""Classes that probe the images: EM with a covariance prior, both mirror states, and the image's own part left out.

One noisy image says little about another; an average of fifty says much. So images are compared through their log
likelihoods under K class averages (:mod:`vitreous.averages.neighbours.profiles`), and the classes come from here:

* The prior of an average is the distribution of clean images (mean and covariance of the data set), so an average of
  few members is a covariance Wiener filter of them and not a noisy sum.
* A class stands for a view and for its mirror image: half of the classes cover the sphere.
* Classes start from single images, Wiener filtered. No image meets its own noise: the data are dealt into folds, the
  averages that a fold is compared with are made without it (SCIENCE.md section 3), and its sums are replaced after its
  visit (incremental EM, Neal and Hinton 1998).
* Posteriors are tempered: members of a class are not the same view, which the likelihood does not know.

Memory: folds x K x M complex numbers of sums, and tiles of scores.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from vitreous.averages.neighbours.principal import PrincipalImages, posterior_references, reference_norms
from vitreous.matching import MIRROR_STATES, fourier_weights, rotation_scores, stacked, visit
from vitreous.matching.workers import ordered_map
from vitreous.processes import ALONE, Processes, joined
from vitreous.randomness import generator

__all__ = [
    "ClassState",
    "ClassSums",
    "Probes",
    "class_log_prior",
    "class_members",
    "deal_folds",
    "first_pass",
    "next_pass",
    "probes",
    "tiles",
]

TEMPER = 0.6  # power of the posterior
KEEP = 0.01  # of an image's posterior: classes with less are left out of the sums
TILE_SCORES = 3_000_000  # scores worked on at a time, about 12 MB a few times over


@dataclass(frozen=True, kw_only=True)
class ClassSums:
    """What the members of a fold give to K classes, in the frame of the class.

    signal: (K, M) complex, natural parameters; weight: (K, G) by defocus group.
    """

    signal: torch.Tensor
    weight: torch.Tensor

    @classmethod
    def empty(cls, images: PrincipalImages, classes: int) -> "ClassSums":
        """Of no members."""
        return cls(
            signal=torch.zeros(classes, images.size, dtype=images.natural.dtype),
            weight=torch.zeros(classes, images.groups),
        )


@dataclass(frozen=True, kw_only=True)
class ClassState:
    """One classification after some passes.

    parts: what every fold gives; assigned: (n,) int64, 2 k + mirrored of the likeliest class, -1 before; changed: share
    of images whose likeliest class is another than before; score: mean tempered log evidence of an image, up to a
    constant.
    """

    passes: int
    parts: tuple[ClassSums, ...]
    assigned: np.ndarray
    changed: float
    score: float


def class_members(parts: tuple[ClassSums, ...]) -> torch.Tensor:
    """Images in every class, (K,)."""
    return stacked(parts, "weight").sum(2).sum(0)


def deal_folds(n: int, folds: int, seed: int, run: int) -> list[np.ndarray]:
    """Random disjoint folds of n images, each ascending; another run deals anew."""
    order = generator(seed, "folds", run).permutation(n)
    return [np.sort(order[f::folds]) for f in range(folds)]


def class_log_prior(members: torch.Tensor) -> torch.Tensor:
    """Log probability of classes with so many members, one image added to each (K,)."""
    return torch.log((members + 1) / (members.sum() + len(members)))


def tiles(index: np.ndarray, references: int, angles: int) -> list[np.ndarray]:
    """Images in tiles whose scores against all references fit the cache a few times over."""
    step = max(1, TILE_SCORES // (references * MIRROR_STATES * angles))
    return [index[start : start + step] for start in range(0, len(index), step)]


@dataclass(frozen=True, kw_only=True)
class Probes:
    """What a tile of images is compared with: references (K, M), their norms (G, K), log_prior (K,)."""

    references: torch.Tensor
    norms: torch.Tensor
    log_prior: torch.Tensor


def probes(images: PrincipalImages, others: ClassSums) -> Probes:
    """Posterior means of the classes that ``others`` give."""
    references = posterior_references(images, others.signal, others.weight)
    return Probes(
        references=references,
        norms=reference_norms(images, references),
        log_prior=class_log_prior(others.weight.sum(1)),
    )


def first_pass(
    images: PrincipalImages,
    folds: list[np.ndarray],
    classes: int,
    *,
    seed: int,
    run: int,
    threads: int = 1,
    processes: Processes = ALONE,
    progress: Callable[[int], None] | None = None,
) -> ClassState:
    """Compare every image with ``classes`` images drawn at random, each Wiener filtered; none with itself."""
    n = len(images)
    drawn = np.sort(generator(seed, "first references", run).choice(n, classes, replace=False))
    weight = torch.zeros(classes, images.groups)
    weight[torch.arange(classes), images.group[drawn]] = 1
    references = posterior_references(images, images.natural[drawn], weight)
    given = Probes(references=references, norms=reference_norms(images, references), log_prior=torch.zeros(classes))
    own = np.full(n, -1)
    own[drawn] = np.arange(classes)
    state = ClassState(
        passes=0,
        parts=(ClassSums.empty(images, classes),) * len(folds),
        assigned=np.full(n, -1),
        changed=1.0,
        score=0.0,
    )
    match = partial(_match, images, lambda others: given, own, threads)
    return _pass(match, folds, state, processes, progress)


def next_pass(
    images: PrincipalImages,
    folds: list[np.ndarray],
    state: ClassState,
    *,
    threads: int = 1,
    processes: Processes = ALONE,
    progress: Callable[[int], None] | None = None,
) -> ClassState:
    """One visit to every fold, against averages of the others as they are by then."""
    match = partial(_match, images, partial(probes, images), None, threads)
    return _pass(match, folds, state, processes, progress)


@dataclass(frozen=True, kw_only=True)
class _Found:
    """Of m images: assigned, as in :class:`ClassState`; evidence, tempered."""

    assigned: np.ndarray
    evidence: np.ndarray


def _pass(
    match: Callable[[ClassSums, tuple[ClassSums, ...], np.ndarray], tuple[ClassSums, _Found]],
    folds: list[np.ndarray],
    state: ClassState,
    processes: Processes,
    progress: Callable[[int], None] | None,
) -> ClassState:
    parts, index, found = visit(folds, state.parts, match, processes=processes, progress=progress)
    assigned = state.assigned.copy()
    assigned[index] = found.assigned
    return ClassState(
        passes=state.passes + 1,
        parts=parts,
        assigned=assigned,
        changed=float((assigned != state.assigned).mean()),
        score=float(found.evidence.mean()),
    )


def _match(
    images: PrincipalImages,
    against: Callable[[ClassSums], Probes],
    own: np.ndarray | None,
    threads: int,
    others: ClassSums,
    parts: tuple[ClassSums, ...],
    index: np.ndarray,
) -> tuple[ClassSums, _Found]:
    """What images ``index`` give to the classes, and what was found of them."""
    probe = against(others)
    classes = len(probe.references)
    sums, found = ClassSums.empty(images, classes), [_Found(assigned=np.zeros(0, np.int64), evidence=np.zeros(0))]
    for part, outcome in ordered_map(
        partial(_expect, images, probe, own), tiles(index, classes, images.grid.angles), threads
    ):
        sums.signal.add_(part.signal)
        sums.weight.add_(part.weight)
        found.append(outcome)
    return sums, joined(found)


def _expect(
    images: PrincipalImages, against: Probes, own: np.ndarray | None, tile: np.ndarray
) -> tuple[ClassSums, _Found]:
    """Posteriors of a tile of images and what they give to the sums."""
    index = torch.from_numpy(tile)
    group, natural = images.group[index], images.natural[index]
    n, classes = len(tile), len(against.references)
    scores = rotation_scores(natural, against.references, images.grid)
    scores += (against.log_prior - against.norms[group])[:, :, None, None]
    if own is not None:
        rows = np.flatnonzero(own[tile] >= 0)
        scores[rows, own[tile][rows]] = -torch.inf
    scores = scores.reshape(n, classes * MIRROR_STATES, -1)
    best = scores.amax((1, 2))
    scores.sub_(best[:, None, None]).mul_(TEMPER).exp_()
    by_class = scores.sum(2)
    total = by_class.sum(1)
    share = by_class / total[:, None]
    # Where nothing is known, all shares are small, and none of them may be left out for that.
    least = (share.amax(1, keepdim=True) / 2).clamp_max(KEEP)
    row, state = torch.nonzero(share > least, as_tuple=True)
    kept = share[row, state]
    kept = kept / torch.zeros(n).index_add_(0, row, kept)[row]
    turned = fourier_weights(scores[row, state] / by_class[row, state][:, None], images.grid)
    part = natural[row] * turned * kept[:, None]
    reference, mirrored = state // MIRROR_STATES, (state % MIRROR_STATES).bool()
    torch.view_as_real(part)[mirrored, :, 1] *= -1
    signal = torch.zeros(classes, images.size, dtype=natural.dtype).index_add_(0, reference, part)
    weight = torch.zeros(classes * images.groups).index_add_(0, reference * images.groups + group[row], kept)
    found = _Found(assigned=share.argmax(1).numpy(), evidence=(best + total.log() / TEMPER).double().numpy())
    return ClassSums(signal=signal, weight=weight.reshape(classes, images.groups)), found
