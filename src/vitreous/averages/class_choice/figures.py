r"""Figures of classes that do not depend on their size: how much of a member its class explains, and of noise.

Let y_i = C X_i / sigma^2 be a member of class k brought into the frame of the class, p_i = C^2 / sigma^2 on every ring,
m_(-i) = sum_(j != i) y_j / sum_(j != i) p_j the mean of the *others*, and A_(-i) the same after its Wiener filter. Then

    c_i = Re <m_(-i), y_i>,                         E c_i = sum_r w_r p_i(r) |A(r)|^2,

the energy of the signal that a member has in common with the others, in nats and without the bias that an image's own
noise has. The mean over a class is a U-statistic of second order. In contrast to a resolution it does not grow with the
number of members; only its error does, and that is known: 4 Var(c_i) / N by Hajek's projection. ``detail`` is the part
of it that comes from the outer half of the rings. The figure

    t_i = Re <A_(-i), y_i> / sqrt(<A_(-i), p_i A_(-i)>)

is the matched filter: standard normal for noise at a given pose. At the best of M poses noise reaches some
sqrt(2 ln M), which is what model bias is. How much that is for these averages and this range of shifts is measured:
images of noise are matched to all classes as particles are, and their t are compared with those of the members.

Centre and rim come from the pictures of the averages. The rim is the power at the edge of the mask, as the product of
two halves, over that of the whole disc, per area: about 0 where the particle ends before the mask does, 1 or more where
it goes on, or where a neighbour lies.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch

from vitreous.alignment import Groups, Matching, residuals
from vitreous.matching import (
    FIRST_RINGS,
    Alignments,
    NoiseRows,
    PreparedParticles,
    Sums,
    accumulate_at,
    best,
    expect,
    residual_noise,
    resolved_rings,
    rows_at,
    signal_power,
)

__all__ = ["ClassFigures", "measure_classes"]

TILE = 512
NOISE_PER_CLASS, MOST_NOISE = 20, 2000  # images of noise that are matched
FEWEST_NOISE = 5  # that chose a class: with fewer the mean of all of them stands for it
MASS_ABOVE = 0.2  # of the highest value: what counts as mass
PICTURE_RINGS = 8
CENTRING_DISC, CENTRING_STEPS = 0.75, 4  # of the radius; it follows the mass, so that neighbours do not pull
RIM_FROM = 0.8  # of the radius of the particle


@dataclass(frozen=True, kw_only=True, eq=False)
class ClassFigures:
    """Of K classes; (K,) each. NaN for classes of fewer than two members.

    members: particles that could be used; signal, detail: nats that a member has in common with the others, in all and
    in the outer half of the rings; unexplained: nats of a member that its class does not explain, above the median of
    the classes; score: matched filter of the members; noise_score: that of noise that
    chose the class, or of all where that is more; noise_everywhere: of all noise; ..._error: one standard error;
    centre_A: (K, 2) x, y of the centre of mass; rim: power at the edge of the mask over that of the disc.
    """

    members: np.ndarray
    signal: np.ndarray
    signal_error: np.ndarray
    detail: np.ndarray
    detail_error: np.ndarray
    unexplained: np.ndarray
    unexplained_error: np.ndarray
    score: np.ndarray
    score_error: np.ndarray
    noise_score: np.ndarray
    noise_error: np.ndarray
    noise_everywhere: float
    centre_A: np.ndarray
    rim: np.ndarray
    resolution_A: float  # of the rings that were used


@dataclass(frozen=True, kw_only=True)
class _Scale:
    """What all classes share: noise (G, R), power of the signal (R,), and the rings that averages resolve."""

    noise_power: torch.Tensor
    tau2: torch.Tensor
    rings: int


def measure_classes(
    data: PreparedParticles, alignments: Alignments, classes: int, offset_range_A: float, seed: int
) -> tuple[ClassFigures, np.ndarray]:
    """Figures of K classes, and nats (m,) that classes do not explain of their members, above the median of the class.

    alignments: of the particles that have a class and can be used, at most one for each; seed: of the
    noise. Costs one pass over the prepared images, and the matching of 20 images of noise for each class
    (2,000 at most).
    """
    halves, scale = _scale(data, alignments, classes)
    matching = Matching(offset_range_A=offset_range_A)
    every = _added(halves)
    members = np.bincount(alignments.reference, minlength=classes)
    c, outer, t = _left_out(data, alignments, every, scale, matching)
    signal, signal_error = _class_mean(c, alignments.reference, classes, order=2)
    detail, detail_error = _class_mean(outer, alignments.reference, classes, order=2)
    score, score_error = _class_mean(t, alignments.reference, classes)
    far = residuals(
        data, replace(Groups.of_labels(alignments.reference), count=classes), alignments, scale.noise_power, scale.tau2,
        matching, scale.rings,
    )  # fmt: skip
    unexplained, unexplained_error = _class_mean(far, alignments.reference, classes)
    noise_score, noise_error, everywhere = _noise_scores(
        data, alignments.particle, every, scale, matching, classes, seed
    )
    centre_px, rim = _pictured(data, halves, scale, matching)
    figures = ClassFigures(
        members=members, signal=signal, signal_error=signal_error, detail=detail, detail_error=detail_error,
        unexplained=unexplained - np.nanmedian(unexplained) if np.isfinite(unexplained).any() else unexplained,
        unexplained_error=unexplained_error,
        score=score, score_error=score_error, noise_score=noise_score, noise_error=noise_error,
        noise_everywhere=everywhere,
        centre_A=centre_px * data.preparation.pixel_size_A, rim=rim,
        resolution_A=data.basis.window_px * data.pixel_size_A / scale.rings,
    )  # fmt: skip
    return figures, far - _class_median(far, alignments.reference, classes)[alignments.reference]


def _scale(data: PreparedParticles, alignments: Alignments, classes: int) -> tuple[tuple[Sums, Sums], _Scale]:
    """Sums of the two halves of every class, with noise that has no signal in it."""
    noise = data.group_power.clamp_min(torch.finfo(torch.float32).tiny)
    half = _dealt(alignments.reference)

    def summed(noise: torch.Tensor) -> tuple[Sums, Sums]:
        first, second = (accumulate_at(data, alignments.take(half == h), classes, noise) for h in (0, 1))
        return first, second

    halves = summed(noise)
    tau2 = signal_power(halves, data.basis)
    noise = residual_noise(noise, data, tau2, data.basis.rings)
    halves = summed(noise)
    tau2 = signal_power(halves, data.basis)
    rings = min(max(resolved_rings(halves, tau2), FIRST_RINGS), data.basis.rings)
    return halves, _Scale(noise_power=noise, tau2=tau2, rings=rings)


def _dealt(label: np.ndarray) -> np.ndarray:
    """Half (m,) of every row, dealt in turn within its class."""
    order = np.argsort(label, kind="stable")
    half = np.empty(len(label), np.int64)
    start = np.searchsorted(label[order], label[order])
    half[order] = (np.arange(len(label)) - start) % 2
    return half


def _added(halves: tuple[Sums, Sums]) -> Sums:
    return Sums(**{name: getattr(halves[0], name) + getattr(halves[1], name) for name in Sums.__dataclass_fields__})


def _left_out(
    data: PreparedParticles, alignments: Alignments, every: Sums, scale: _Scale, matching: Matching
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """c, its part in the outer half of the rings, and t of every row: (m,) each."""
    outer = scale.rings // 2
    common, detail, score = [], [], []
    for own, label in _rows(data, alignments, scale):
        whole = _of_classes(every, own, label)
        others = replace(whole, signal=whole.signal - own.signal, power=whole.power - own.power)
        tiny = torch.finfo(torch.float32).tiny
        c = _product(data, others.signal, own.signal) / others.power.clamp_min(tiny)
        common.append(c.sum(1))
        detail.append(c[:, outer:].sum(1))
        score.append(_score(data, others, own, scale, matching))
    return tuple(torch.cat(values).double().numpy() for values in (common, detail, score))  # type: ignore[return-value]


def _of_classes(every: Sums, own: Sums, label: torch.Tensor) -> Sums:
    """Signal and power of the class of every row, at the rings and harmonics of the rows."""
    rings, harmonics = own.signal.shape[1:]
    return replace(own, signal=every.signal[label, :rings, :harmonics], power=every.power[label, :rings])


def _rows(data: PreparedParticles, alignments: Alignments, scale: _Scale) -> Iterator[tuple[Sums, torch.Tensor]]:
    """Tile by tile what each row gives to its class, and the classes."""
    basis = data.basis.truncated(scale.rings)
    for start in range(0, len(alignments), TILE):
        part = alignments.take(slice(start, start + TILE))
        yield rows_at(data, part, scale.noise_power, basis)[1].sums, torch.from_numpy(part.reference)


def _product(data: PreparedParticles, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Re <a, b> on every ring, weighted by the length of the ring: (m, R)."""
    basis = data.basis.truncated(a.shape[1])
    product = ((a.conj() * b).real * basis.multiplicity.to(a.device)).sum(2) * basis.ring_weight.to(a.device)
    return product.cpu()


def _score(data: PreparedParticles, averages_of: Sums, own: Sums, scale: _Scale, matching: Matching) -> torch.Tensor:
    """t of every row against the average of the sums in its place."""
    average = matching.averages(averages_of, scale.tau2[: scale.rings])
    energy = _product(data, average, average * own.power[..., None]).sum(1)
    return _product(data, average, own.signal).sum(1) / energy.clamp_min(torch.finfo(torch.float32).tiny).sqrt()


def _class_mean(values: np.ndarray, label: np.ndarray, classes: int, order: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Means (K,) and their standard errors; order: of the U-statistic that the mean is. NaN below two members."""
    size = np.bincount(label, minlength=classes)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.bincount(label, values, classes) / size
        variance = np.bincount(label, (values - mean[label]) ** 2, classes) / (size - 1)
        error = order * np.sqrt(variance / size)
    few = size < 2
    return np.where(few, np.nan, mean), np.where(few, np.nan, error)


def _class_median(values: np.ndarray, label: np.ndarray, classes: int) -> np.ndarray:
    """(K,); that of all values for a class without members."""
    everywhere = float(np.median(values))
    return np.array([np.median(values[label == k]) if (label == k).any() else everywhere for k in range(classes)])


def _noise_scores(
    data: PreparedParticles,
    particle: np.ndarray,
    every: Sums,
    scale: _Scale,
    matching: Matching,
    classes: int,
    seed: int,
) -> tuple[np.ndarray, np.ndarray, float]:
    """t of noise that chose each class, and its standard error: (K,) each; and t of all noise, which is the least.

    Noise goes to blurs first, and reaches less there than in a class that hardly any of it chooses.
    """
    count = min(NOISE_PER_CLASS * classes, MOST_NOISE, len(particle))
    places = np.sort(particle)[np.linspace(0, len(particle) - 1, count).astype(int)]
    noise = replace(data, packed=NoiseRows(data, seed))
    plan = data.search(scale.rings, matching.offset_range_A)
    cut = replace(
        every,
        signal=every.signal[:, : plan.fine.rings, : plan.fine.harmonics],
        power=every.power[:, : plan.fine.rings],
    )
    references = matching.references(matching.averages(cut, scale.tau2[: plan.fine.rings]), data, plan)
    _, outcome = expect(noise, places, plan, references, scale.noise_power, choice=best)
    found = outcome.alignments(places, data.pixel_size_A)
    scores = torch.cat(
        [_score(data, _of_classes(every, own, k), own, scale, matching) for own, k in _rows(noise, found, scale)]
    ).double().numpy()  # fmt: skip
    mean, error = _class_mean(scores, found.reference, classes)
    everywhere, its_error = float(scores.mean()), float(scores.std() / np.sqrt(max(len(scores), 1)))
    own_mean = (np.bincount(found.reference, minlength=classes) >= FEWEST_NOISE) & (mean > everywhere)
    return np.where(own_mean, mean, everywhere), np.where(own_mean, error, its_error), everywhere


def _pictured(
    data: PreparedParticles, halves: tuple[Sums, Sums], scale: _Scale, matching: Matching
) -> tuple[np.ndarray, np.ndarray]:
    """Centre of mass (K, 2) in pixels from the centre of the box, and power at the rim over that of the disc (K,)."""
    rings = min(scale.rings, PICTURE_RINGS)
    harmonics = data.basis.truncated(rings).harmonics

    def picture(sums: Sums) -> torch.Tensor:
        cut = replace(sums, signal=sums.signal[:, :rings, :harmonics], power=sums.power[:, :rings])
        return data.picture(matching.averages(cut, scale.tau2[:rings])).cpu().double()

    both = picture(_added(halves))
    axis = torch.arange(both.shape[-1], dtype=torch.float64) - both.shape[-1] // 2
    distance = torch.hypot(axis[None, :], axis[:, None])
    disc = distance < data.preparation.radius_px
    mass = (both - MASS_ABOVE * both.amax((1, 2), keepdim=True)).clamp_min(0) * disc
    centre = torch.zeros(len(mass), 2, dtype=torch.float64)
    for _ in range(CENTRING_STEPS):
        x, y = (axis - centre[:, i : i + 1] for i in (0, 1))
        reach = CENTRING_DISC * data.preparation.radius_px
        near = mass * (x.square()[:, None, :] + y.square()[:, :, None] < reach**2)
        total = near.sum((1, 2)).clamp_min(torch.finfo(torch.float64).tiny)[:, None]
        centre = torch.stack([(near.sum(1) * axis).sum(1), (near.sum(2) * axis).sum(1)], 1) / total
    product = picture(halves[0]) * picture(halves[1])
    rim = disc & (distance > RIM_FROM * data.preparation.radius_px)
    whole = product[:, disc].mean(1).clamp_min(torch.finfo(torch.float64).tiny)
    return centre.numpy(), (product[:, rim].mean(1) / whole).numpy()
