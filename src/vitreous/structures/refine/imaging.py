"""How particles were imaged, refined with their poses: the defocus and the contrast of each.

Model: ``x = s c(d) V(G k) + noise`` at ring points, x and c over the standard deviation of the noise (:mod:`.images`).
d is added to both defoci of the file, and changes the phase of the CTF by ``q d``, ``q = pi lambda k^2``, alike on all
of a ring. So five sums per ring, of ``a = Re(conj(V) x)`` and ``b = |V|^2`` with sine and cosine of the phase of the
file, give the likelihood at every d and s exactly:

    f(d, s) = sum_r 2 s (a_s cos q d + a_c sin q d) - s^2 (b_ss cos^2 q d + 2 b_sc cos q d sin q d + b_cc sin^2 q d)

Priors: ``d ~ N(m_g, t^2)`` and ``s ~ N(n_g, u^2)`` with means of the group g (the particles of a micrograph in one
half, so that halves stay apart) and spreads t, u of all particles. Means and spreads are those of the highest marginal
likelihood, each particle's likelihood being taken for the Gaussian of its score and information: where particles say
nothing about their defocus, t is 0 and they keep that of their group.

Three things keep defocus from standing in for other errors. Up to the first maximum of the CTF it changes amplitudes
alone, which the scale of a particle and the spectrum of the map change as well: these rings have no say. The reference
is shrunk towards 0 where it is noisy, and a smaller CTF would do the same: every ring of it is scaled to the images of
a tile first, for contrasts too, which would all be too large. And what all groups have in common is taken off, since a
map with another envelope explains it, too.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
import torch

from vitreous.fourier import slice_points
from vitreous.matching import PreparedParticles
from vitreous.optics import electron_wavelength_A
from vitreous.structures.refine.images import PointImages, point_quadratures

__all__ = ["Imaged", "Imaging", "image_anew", "with_priors"]

FIRST_SPREAD_A, MOST_SPREAD_A = 500.0, 2000.0  # of defoci of a group, before it is known and ever
FIRST_SPREAD, MOST_SPREAD = 0.2, 0.5  # of scales
GROUP_SPREAD_A, GROUP_SPREAD = 300.0, 0.5  # of the means of groups
LEAST_SCALE, MOST_SCALE = 0.2, 3.0
MOST_CALIBRATION = 3.0  # of a ring of the reference
REACH_SDS, STEP_RAD, MOST_TRIED = 4.0, 0.5, 301  # of the search of a defocus; its step is that of the outermost phase
SPREADS_TRIED = 25
OUTLIER = 9.0  # squared normalised deviation beyond which a particle has no more say in a spread


@dataclass(frozen=True, kw_only=True, eq=False)
class Imaging:
    """Of n particles: defocus above that of the file and contrast, and their priors.

    ..._sd: of the posterior; ..._centre: (n,) mean of the prior, that of the particle's group; ..._spread: its
    standard deviation.
    """

    defocus_A: np.ndarray
    defocus_sd_A: np.ndarray
    defocus_centre_A: np.ndarray
    defocus_spread_A: float
    scale: np.ndarray
    scale_sd: np.ndarray
    scale_centre: np.ndarray
    scale_spread: float

    @classmethod
    def as_given(cls, n: int, defocus: str = "none", scale: str = "none") -> "Imaging":
        """As the file has it; particles spread about the means of their groups where they are refined one by one."""
        return cls(
            defocus_A=np.zeros(n),
            defocus_sd_A=np.zeros(n),
            defocus_centre_A=np.zeros(n),
            defocus_spread_A=FIRST_SPREAD_A if defocus == "particles" else 0.0,
            scale=np.ones(n),
            scale_sd=np.zeros(n),
            scale_centre=np.ones(n),
            scale_spread=FIRST_SPREAD if scale == "particles" else 0.0,
        )

    def of(self, index: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Defocus and scale of some of the particles."""
        return self.defocus_A[index], self.scale[index]


@dataclass(frozen=True, kw_only=True, eq=False)
class Imaged:
    """What m images say: values of the highest posterior probability, and the likelihood there.

    Of the likelihood information H and score ``H d + f'``, so that it is that of a Gaussian of mean score / H.
    """

    defocus_A: np.ndarray
    defocus_score: np.ndarray
    defocus_information: np.ndarray
    scale: np.ndarray
    scale_score: np.ndarray
    scale_information: np.ndarray

    @classmethod
    def unchanged(cls, imaging: Imaging, index: np.ndarray) -> "Imaged":
        """Of particles that were not asked."""
        nothing = np.zeros(len(index))
        return cls(
            defocus_A=imaging.defocus_A[index],
            defocus_score=nothing,
            defocus_information=nothing,
            scale=imaging.scale[index],
            scale_score=nothing,
            scale_information=nothing,
        )


def image_anew(
    data: PreparedParticles,
    index: np.ndarray,
    images: PointImages,
    volume_ft: torch.Tensor,
    rotation: np.ndarray,
    origin_A: np.ndarray,
    noise_power: torch.Tensor,
    imaging: Imaging,
    *,
    defocus: bool,
    scale: bool,
) -> Imaged:
    """Defocus and scale of particles ``index`` at their poses (m, 3, 3), (m, 2) in a prepared volume."""
    sums, q = _ring_sums(data, index, images, volume_ft, rotation, origin_A, noise_power)
    assert data.ctf is not None
    of_file = 0.5 * (data.ctf.defocus_u_A + data.ctf.defocus_v_A)[index, None]
    sums = _calibrated(sums, q, *imaging.of(index))
    beyond = sums * (np.abs(q * of_file) > math.pi / 2)
    d, s = (values.copy() for values in imaging.of(index))
    centre, spread = imaging.defocus_centre_A[index], imaging.defocus_spread_A
    if defocus:
        d = _best_defocus(beyond, q, s, centre, spread)
    product, power = _at(sums, q, d[:, None])
    product, power = product[:, 0], power[:, 0]
    if scale:
        mean, variance = imaging.scale_centre[index], imaging.scale_spread**2
        s = mean + variance * 2 * (product - mean * power) / (1 + variance * 2 * power)
        s = s.clip(LEAST_SCALE, MOST_SCALE)
    slope, information = _slope(beyond, q, d, s)
    return Imaged(
        defocus_A=d,
        defocus_score=information * d + slope,
        defocus_information=information,
        scale=s,
        scale_score=2 * product,
        scale_information=2 * power,
    )


def _calibrated(sums: np.ndarray, q: np.ndarray, d: np.ndarray, s: np.ndarray) -> np.ndarray:
    """With every ring of the reference scaled to what the images hold of it."""
    co, si = np.cos(q * d[:, None]), np.sin(q * d[:, None])
    a_s, a_c, b_ss, b_sc, b_cc = sums
    product = (s[:, None] * (a_s * co + a_c * si)).sum(0)
    power = (s[:, None] ** 2 * (b_ss * co**2 + 2 * b_sc * co * si + b_cc * si**2)).sum(0)
    factor = np.clip(product / np.maximum(power, 1e-30), 0.0, MOST_CALIBRATION)
    return sums * np.stack([factor, factor, factor**2, factor**2, factor**2])[:, None, :]


def _ring_sums(
    data: PreparedParticles, index: np.ndarray, images: PointImages, volume_ft: torch.Tensor, rotation: np.ndarray,
    origin_A: np.ndarray, noise_power: torch.Tensor,
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """(5, m, R): a_s, a_c, b_ss, b_sc, b_cc of the module docstring; and q (m, R) in radians per Angstrom."""
    points = images.points
    sine, cosine = point_quadratures(data, index, points, noise_power)
    v = slice_points(volume_ft, torch.from_numpy(rotation).float(), points.plane)
    a, b = (v.conj() * images.centred(origin_A)).real, v.abs().square()
    each = torch.stack([a * sine, a * cosine, b * sine.square(), b * sine * cosine, b * cosine.square()]).double()
    sums = torch.zeros((5, len(index), points.rings), dtype=torch.float64)
    sums.index_add_(2, points.ring, each)
    k = (np.arange(points.rings) + 1.0) / images.window_A
    assert data.ctf is not None
    wavelength = electron_wavelength_A(data.ctf.voltage_kV[index])
    return sums.numpy(), math.pi * wavelength[:, None] * k**2


def _at(sums: np.ndarray, q: np.ndarray, d: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """``sum c Re(conj(V) x)`` and ``sum c^2 |V|^2`` at defoci d (m, J): each (m, J)."""
    phase = q[:, None, :] * d[:, :, None]
    co, si = np.cos(phase), np.sin(phase)
    a_s, a_c, b_ss, b_sc, b_cc = (one[:, None, :] for one in sums)
    return (a_s * co + a_c * si).sum(2), (b_ss * co**2 + 2 * b_sc * co * si + b_cc * si**2).sum(2)


def _slope(sums: np.ndarray, q: np.ndarray, d: np.ndarray, s: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """df / dd, and the information of Gauss and Newton, ``2 s^2 sum |V|^2 (dc / dd)^2``: each (m,)."""
    co, si = np.cos(q * d[:, None]), np.sin(q * d[:, None])
    a_s, a_c, b_ss, b_sc, b_cc = sums
    product = q * (a_c * co - a_s * si)
    power = 2 * q * ((b_cc - b_ss) * co * si + b_sc * (co**2 - si**2))
    known = q**2 * (b_ss * si**2 - 2 * b_sc * co * si + b_cc * co**2)
    return 2 * s * product.sum(1) - s**2 * power.sum(1), 2 * s**2 * known.sum(1)


def _best_defocus(sums: np.ndarray, q: np.ndarray, s: np.ndarray, centre: np.ndarray, spread: float) -> np.ndarray:
    """The highest maximum of the posterior within some spreads of the centre: on a grid, then between its points."""
    if spread == 0:
        return centre.copy()
    reach = REACH_SDS * spread
    count = 2 * min(math.ceil(reach * q.max() / STEP_RAD), MOST_TRIED // 2) + 1
    offset = np.linspace(-reach, reach, count)

    def posterior(d: np.ndarray) -> np.ndarray:
        product, power = _at(sums, q, d)
        return 2 * s[:, None] * product - s[:, None] ** 2 * power - 0.5 * ((d - centre[:, None]) / spread) ** 2

    best = centre + offset[posterior(centre[:, None] + offset).argmax(1)]
    step = offset[1] - offset[0]
    for _ in range(3):
        low, middle, high = posterior(best[:, None] + step * np.array([-1.0, 0.0, 1.0])).T
        curvature = low - 2 * middle + high
        move = np.where(curvature < 0, 0.5 * (low - high) / np.minimum(curvature, -1e-12), 0.0)
        best, step = best + step * move.clip(-1, 1), 0.3 * step
    return best


def with_priors(
    imaging: Imaging, found: Imaged, index: np.ndarray, group: np.ndarray, *, defocus: str, scale: str
) -> Imaging:
    """What was found of particles ``index``, of groups (m,), and the priors of the next pass."""
    new = imaging
    if defocus != "none":
        most = MOST_SPREAD_A if defocus == "particles" else 0.0
        score, known = found.defocus_score, found.defocus_information
        centre, spread = _prior(score, known, group, mean=0.0, group_sd=GROUP_SPREAD_A, most=most)
        centre = centre - float((known * centre).sum() / max(known.sum(), 1e-30))
        new = replace(
            new,
            defocus_A=_put(new.defocus_A, index, found.defocus_A),
            defocus_sd_A=_put(new.defocus_sd_A, index, _posterior_sd(known, group, GROUP_SPREAD_A, spread)),
            defocus_centre_A=_put(new.defocus_centre_A, index, centre),
            defocus_spread_A=spread,
        )
    if scale != "none":
        most = MOST_SPREAD if scale == "particles" else 0.0
        score, known = found.scale_score, found.scale_information
        mean = float(score.sum() / max(known.sum(), 1e-30))
        centre, spread = _prior(score, known, group, mean=mean, group_sd=GROUP_SPREAD, most=most)
        centre = centre / centre.mean()  # what is common to all is the map's
        new = replace(
            new,
            scale=_put(new.scale, index, found.scale),
            scale_sd=_put(new.scale_sd, index, _posterior_sd(known, group, GROUP_SPREAD, spread)),
            scale_centre=_put(new.scale_centre, index, centre.clip(LEAST_SCALE, MOST_SCALE)),
            scale_spread=spread,
        )
    return new


def _posterior_sd(known: np.ndarray, group: np.ndarray, group_sd: float, spread: float) -> np.ndarray:
    """Of particles about the mean of their group and of this mean, which they have in common."""
    own = spread**2 / (1 + spread**2 * known)
    common = 1 / (np.bincount(group, known / (1 + spread**2 * known)) + group_sd**-2)
    return np.sqrt(own + common[group] / (1 + spread**2 * known) ** 2)


def _prior(
    score: np.ndarray, known: np.ndarray, group: np.ndarray, *, mean: float, group_sd: float, most: float
) -> tuple[np.ndarray, float]:
    """Means of the groups (m,) and the spread about them, at most ``most``, of highest marginal likelihood.

    With w = H / (1 + t^2 H) a particle's marginal likelihood is that of a Gaussian of variance 1 / w. The mean of a
    group has a prior of its own. Particles far off, which may be lost or no particles, have a limited say in t.
    """
    count = int(group.max(initial=-1)) + 1
    tried = [0.0, *np.geomspace(most / 500, most, SPREADS_TRIED)] if most > 0 else [0.0]
    best = (-np.inf, np.full(len(score), mean), 0.0)
    for spread in tried:
        damped = 1 + spread**2 * known
        weight = np.bincount(group, known / damped, minlength=count) + group_sd**-2
        centre = ((np.bincount(group, score / damped, minlength=count) + mean * group_sd**-2) / weight)[group]
        deviation = (score - known * centre) ** 2 / (np.maximum(known, 1e-30) * damped)
        likelihood = -0.5 * float((np.log(damped) + np.minimum(deviation, OUTLIER)).sum())
        if likelihood > best[0]:
            best = (likelihood, centre, float(spread))
    return best[1], best[2]


def _put(old: np.ndarray, index: np.ndarray, value: np.ndarray) -> np.ndarray:
    out = old.copy()
    out[index] = value
    return out
