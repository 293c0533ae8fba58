"""What follows the last pass: how many factors are no noise, classes in their space, and the pictures of all that."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from vitreous.averages.msa.classify import agreement, choose_classes, kmeans, upper_tree, ward, ward_labels
from vitreous.averages.msa.factors import BLOCK, Factors, weighted_blocks
from vitreous.averages.msa.images import AlignedImages
from vitreous.averages.msa.likeness import likeness_of
from vitreous.averages.msa.metric import Metric, Moments
from vitreous.averages.msa.noise_edge import (
    NoiseEdge,
    Significant,
    noise_along,
    shell_power,
    significant_factors,
    split_variance,
)
from vitreous.averages.msa.result import FactorMap, MSAResult
from vitreous.averages.msa.settings import MSA
from vitreous.matching import Alignments, Averages, claimed_resolution_A, dealt_in_turn, restore
from vitreous.optics import CTFParameters

__all__ = ["finish"]

MOST_BRANCHES = 24  # of the tree that are shown
EXAMPLES = 12
MAP_CELLS = (9, 6)
FEWEST_IN_CELL = 5
SAME = 1e-10  # of the power of the average image: less variance is rounding
Progress = Callable[[int, int, str], None]


@dataclass(frozen=True, kw_only=True, eq=False)
class _Classes:
    label: np.ndarray  # (m,)
    kmeans: np.ndarray
    ward: np.ndarray
    scores: np.ndarray
    branches: np.ndarray
    branch: np.ndarray  # (m,)


def finish(
    images: AlignedImages,
    rows: np.ndarray,
    settings: MSA,
    moments: Moments,
    metric: Metric,
    factors: Factors,
    coordinates: np.ndarray,
    seed: int,
    given: Alignments,
    threads: int,
    progress: Progress,
) -> MSAResult:
    """The result of moments, factors and coordinates (m, k) of m images; given: alignments of all n particles."""
    m, p = rows.shape
    kept = factors.vectors.shape[1]
    found, along = _judged_factors(images, rows, metric, factors)
    first = factors.eigenvalues[:kept]
    signal, noisy = split_variance(first, along, p / m)
    # An eigenvalue may exceed the limit of all noise and still be what noise does along this very eigenimage.
    found = replace(found, count=int(np.cumprod(signal[: found.count] > SAME * first[: found.count]).sum()))
    classes = _classes(coordinates[:, : found.count] / np.sqrt(noisy[: found.count]), settings, seed)
    maps, branch_images = _local_averages(images, rows, coordinates, classes, found.count, progress)
    own = replace(images.alignments, reference=classes.label)
    restored = _restored(images, own, threads, progress)
    examples = np.unique(np.linspace(0, m - 1, min(EXAMPLES, m)).astype(int))
    n, used = len(given), images.alignments.particle
    frc = restored.frc.cpu().numpy()
    scale = metric.size.mean() * metric.scale
    return MSAResult(
        pixel_size_A=images.preparation.pixel_size_A,
        particle_diameter_A=images.preparation.particle_diameter_A,
        mask=images.mask,
        average=_pictured(moments.mean[None], images.mask)[0],
        eigenimages=_pictured(factors.vectors.T * scale, images.mask),
        eigenvalues=first,
        spectrum=factors.eigenvalues,
        total_variance=factors.total,
        noise_edge=found.noise.edge,
        noise_limit=found.noise.limit,
        significant=found.count,
        signal_variance=signal,
        noise_variance=noisy,
        likeness=likeness_of(
            moments.mean, images.mask, metric, factors.vectors, coordinates, _defocus(images.ctf, used)
        ),
        unevenness=metric.unevenness,
        offset=metric.offset,
        coordinates=_of_all(coordinates, used, n, np.nan),
        label=_of_all(classes.label, used, n, -1),
        kmeans_label=_of_all(classes.kmeans, used, n, -1),
        ward_label=_of_all(classes.ward, used, n, -1),
        agreement=agreement(classes.kmeans, classes.ward),
        scores=classes.scores,
        branches=classes.branches,
        branch_images=branch_images,
        averages=restored.full.cpu().numpy(),
        halves=restored.halves.cpu().numpy(),
        frc=frc,
        resolution_A=claimed_resolution_A(frc, images.preparation),
        maps=maps,
        examples=used[examples],
        example_images=_examples(images, rows, metric, factors, coordinates, found.count, examples),
        alignments=replace(given, reference=_of_all(classes.label, used, n, -1)),
        messages=_messages(found, kept, metric, settings, m),
    )


def _judged_factors(
    images: AlignedImages, rows: np.ndarray, metric: Metric, factors: Factors
) -> tuple[Significant, np.ndarray]:
    """How many factors are above the noise, and the variance (k,) of noise along each."""
    first = factors.eigenvalues[: factors.vectors.shape[1]]
    if not factors.total > SAME * float((metric.centre**2 / metric.scale**2).sum()):
        nothing = NoiseEdge(edge=0.0, limit=np.inf)
        return Significant(count=0, noise=nothing, spectrum=np.zeros(0)), np.full(len(first), 1e-300)
    spectrum = sum(
        shell_power(weighted.numpy(), images.mask).sum(0) for weighted in weighted_blocks(rows, metric)
    ) / len(rows)
    spectrum[0] = max(spectrum[0], min(metric.size_variance, 2 * spectrum[1]))
    weight = 1 / metric.scale**2 if metric.unevenness > 0 else None
    found = significant_factors(first, factors.vectors, spectrum, images.mask, len(rows), weight)
    return found, noise_along(factors.vectors, found.spectrum, images.mask).clip(1e-300)


def _classes(points: np.ndarray, settings: MSA, seed: int) -> _Classes:
    """Classes of points (m, q); one class where no factor is left."""
    m = len(points)
    if points.shape[1] == 0:
        none = np.zeros(m, np.int64)
        return _Classes(
            label=none, kmeans=none, ward=none, scores=np.zeros(0), branches=np.zeros((0, 4)), branch=none
        )  # fmt: skip
    tree, leaf = ward(points, seed)
    count, scores = settings.classes, np.zeros(0)
    if count is None:
        count, scores = choose_classes(points, tree, leaf, seed)
    by_ward = ward_labels(tree, leaf, count)
    by_kmeans, _ = kmeans(points, count, seed, by_ward)
    branches, branch = upper_tree(tree, leaf, MOST_BRANCHES)
    label = by_ward if settings.clustering == "ward" else by_kmeans
    return _Classes(label=label, kmeans=by_kmeans, ward=by_ward, scores=scores, branches=branches, branch=branch)


def _local_averages(
    images: AlignedImages,
    rows: np.ndarray,
    coordinates: np.ndarray,
    classes: _Classes,
    significant: int,
    progress: Progress,
) -> tuple[tuple[FactorMap, ...], np.ndarray]:
    """Averages of the images in the cells of maps of the first factors, and of the branches of the tree."""
    shown = max(2, significant)
    pairs = [(a, b) for a, b in ((0, 1), (2, 3)) if b < min(shown, coordinates.shape[1])]
    cells = [_cells(coordinates[:, pair]) for pair in pairs]
    groups = [*cells, classes.branch]
    sums = [np.zeros((int(group.max()) + 1, images.pixels)) for group in groups]
    for start in range(0, len(rows), BLOCK):
        block = np.asarray(rows[start : start + BLOCK], np.float64)
        for total, group in zip(sums, groups, strict=True):
            np.add.at(total, group[start : start + BLOCK], block)
        progress(min(start + BLOCK, len(rows)), len(rows), "local averages")
    means = [
        _pictured(total / np.bincount(group)[:, None].clip(1), images.mask)
        for total, group in zip(sums, groups, strict=True)
    ]
    maps = tuple(
        _factor_map(pair, coordinates[:, pair], cell, mean)
        for pair, cell, mean in zip(pairs, cells, means[:-1], strict=True)
    )
    return maps, means[-1]


def _cells(points: np.ndarray) -> np.ndarray:
    """Which cell (m,) of a grid over the bulk of the points (m, 2) each of them lies in."""
    place = np.zeros(len(points), np.int64)
    for axis, count in enumerate(MAP_CELLS):
        low, high = np.percentile(points[:, axis], [0.5, 99.5])
        width = max(high - low, 1e-300)
        index = np.clip(((points[:, axis] - low) / width * count).astype(int), 0, count - 1)
        place = place * count + index
    return place


def _factor_map(pair: tuple[int, int], points: np.ndarray, cell: np.ndarray, mean: np.ndarray) -> FactorMap:
    count = np.bincount(cell, minlength=len(mean))
    enough = np.flatnonzero(count >= min(FEWEST_IN_CELL, count.max()))
    centre = np.stack([np.bincount(cell, points[:, i], minlength=len(mean)) / count.clip(1) for i in (0, 1)], 1)
    return FactorMap(
        first=pair[0], second=pair[1], centre=centre[enough], images=mean[enough], count=count[enough]
    )  # fmt: skip


def _restored(images: AlignedImages, own: Alignments, threads: int, progress: Progress) -> Averages:
    return restore(
        images.read, images.preparation, images.ctf, own, dealt_in_turn(own.reference), int(own.reference.max()) + 1,
        threads=threads, progress=lambda done, of: progress(done, of, "class averages"),
    )  # fmt: skip


def _examples(
    images: AlignedImages,
    rows: np.ndarray,
    metric: Metric,
    factors: Factors,
    coordinates: np.ndarray,
    significant: int,
    chosen: np.ndarray,
) -> np.ndarray:
    """(e, 2, L, L): some images of the analysis, and the same reconstituted from the significant factors."""
    used = slice(0, significant)
    made = metric.reconstituted(coordinates[chosen, used], factors.vectors[:, used], metric.size[chosen])
    return np.stack([_pictured(np.asarray(rows[chosen]), images.mask), _pictured(made, images.mask)], axis=1)


def _pictured(rows: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Rows (b, p) as images (b, L, L), 0 outside the mask."""
    full = np.zeros((len(rows), *mask.shape), np.float32)
    full[:, mask] = rows
    return full


def _of_all(values: np.ndarray, used: np.ndarray, n: int, missing: float) -> np.ndarray:
    """Values (m, ...) of the particles ``used`` in their places among all n."""
    full = np.full((n, *values.shape[1:]), missing, values.dtype)
    full[used] = values
    return full


def _defocus(ctf: CTFParameters | None, used: np.ndarray) -> np.ndarray | None:
    return None if ctf is None else (ctf.defocus_u_A[used] + ctf.defocus_v_A[used]) / 2


def _messages(found: Significant, kept: int, metric: Metric, settings: MSA, images: int) -> tuple[str, ...]:
    messages = []
    if found.count == 0:
        same = len(found.spectrum) == 0
        messages.append(
            f"All {images:,} images are the same within the mask: there is nothing to tell apart."
            if same
            else "Nothing was found: no factor varies by more than noise of this level does, so there is one class. "
            "Eigenimages are shown, but they are those of noise."
        )
    elif found.count == kept == settings.factors:
        messages.append(
            f"All {kept} factors are above the noise, so there may be more; ask for more with --factors. Images that "
            "are not aligned, or that show several views, have many."
        )
    if settings.metric == "chi-square" and metric.offset > 0:
        messages.append(
            f"{metric.offset:.2f} was added to all pixels, since correspondence analysis needs images that are nowhere "
            f"negative. The weights of pixels differ by {100 * metric.unevenness:.1f} % after that; the less they "
            "differ, the nearer this is to principal components of images without their mean."
        )
    return tuple(messages)
