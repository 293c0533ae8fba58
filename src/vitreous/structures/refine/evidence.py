"""Is the map one of these particles? Asked of particles that the map has not seen.

A sample of particles of each half looks at all views of the map of the *other* half, which they have no part in. Two
things are asked, since maps can be wrong in two ways.

*Better than noise?* Noise that is aligned to the map that both halves start from reproduces it in both of them, so
that they agree. Images of noise with the spectrum of the data look at all views too; particles that match no better
are noise (:mod:`vitreous.matching.noise_test` for classes).

*The same view?* From a wrong reference or wrong poses the halves come to a map of what the particles have in common
with it: real particles match that better than noise does, and better than the same map with other phases. But the
views are not theirs. Where they are, a particle finds in the map of the other half the view that it has in its own, or
one that is no better than it: on simulated ribosomes 97 to 100 % do so; started from random poses or from GroEL, 2 to
12 % do. Views that a particle cannot tell apart, such as those of a symmetry that was not imposed, do not count against
a map. Where there are no views to be found, in noise or in images of a hollow ball, 40 to 53 % do so by that and by
what both halves began with, and 60 % where the halves were refined from a wrong cage of apoferritin.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch

from vitreous.matching import PreparedParticles
from vitreous.matching.noise_test import SIGNAL_NATS, SIGNAL_SIGMAS, NoiseRows
from vitreous.processes import by_process
from vitreous.randomness import uniforms
from vitreous.structures.refine.course import apart_deg
from vitreous.structures.refine.em import half_sums
from vitreous.structures.refine.images import PointImages, point_images
from vitreous.structures.refine.local import LocalPoses, refine_locally
from vitreous.structures.refine.search import SEARCH_RINGS, best_of, prepare_search, starts
from vitreous.structures.refine.state import Pass, RefineState
from vitreous.volumes import RingPoints, VolumeSums, cross_power, density, prepared

__all__ = ["DOUBTFUL_SHARE", "Evidence", "evidence"]

SAMPLE = 200  # particles, and images of noise
SAME_DEG = 15.0
SAME_NATS = 2.0  # a view that is better by less is not told from the one that a particle has
LEAST_SHARE, DOUBTFUL_SHARE = 2 / 3, 0.8  # of particles that find their view again


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What a sample of particles says about the map of the other half.

    excess: nats by which they match it better than noise does; sigmas: standard errors of that; same_view: share of
    them that find the view they have, or none that is better.
    """

    excess: float
    sigmas: float
    same_view: float

    @property
    def beyond_noise(self) -> bool:
        """Whether the particles are more than noise."""
        return self.excess > SIGNAL_NATS and self.sigmas > SIGNAL_SIGMAS

    @property
    def found_signal(self) -> bool:
        """Whether the particles are more than noise, and views of this map."""
        return self.beyond_noise and self.same_view >= LEAST_SHARE


@dataclass(frozen=True)
class _Sample:
    gain: np.ndarray
    same: np.ndarray


def evidence(work: Pass, state: RefineState, parts: tuple[VolumeSums, ...]) -> Evidence:
    """Particles of each half, and noise in their places, against the map of the other half.

    parts: sums of the folds at the poses of the state. Cost: a search of all views for 400 images.
    """
    data, rings = work.data, state.inserted_rings or state.rings  # 0: more rings were prepared after the last pass
    halves = half_sums(parts, work.group)
    tau2 = cross_power(*halves, rings).clamp_min(0)
    noise_data = replace(data, packed=NoiseRows(data, state.seed))
    found: dict[str, list[_Sample]] = {"particles": [], "noise": []}
    for half in (0, 1):
        mine = by_process(_sample(work, state, half), work.processes)[work.processes.rank]
        volume = prepared(density(halves[1 - half], data.basis.truncated(rings), tau2))
        for name, source in (("particles", data), ("noise", noise_data)):
            found[name].append(work.processes.gather(_look(work, state, source, volume, mine, rings)))
    a, b = (np.concatenate([s.gain for s in found[name]]) for name in ("particles", "noise"))
    excess = float(a.mean() - b.mean())
    error = float(np.sqrt(a.var() / len(a) + b.var() / len(b)))
    same = np.concatenate([s.same for s in found["particles"]])
    return Evidence(excess=excess, sigmas=excess / max(error, 1e-9), same_view=float(same.mean()))


def _sample(work: Pass, state: RefineState, half: int) -> np.ndarray:
    members = np.concatenate(work.folds[half::2])
    key = uniforms(state.seed, "against noise", ids=members)[:, 0]
    return members[np.argsort(key, kind="stable")][: SAMPLE // 2]


def _look(
    work: Pass, state: RefineState, data: PreparedParticles, volume: torch.Tensor, index: np.ndarray, rings: int
) -> _Sample:
    """The best of all views of each of the particles, and whether it is the one that they have."""
    if len(index) == 0:
        return _Sample(gain=np.zeros(0), same=np.zeros(0, bool))
    points = RingPoints(basis=data.basis.truncated(rings))
    images = point_images(data, index, points, state.noise_power, *state.imaging.of(index))
    best = _best_view(work, state, data, volume, images, index)
    own = refine_locally(
        volume, images, state.rotation[index], state.origin_A[index], offset_sd_A=state.offset_sd_A
    )  # fmt: skip
    near = apart_deg(best.rotation, state.rotation[index], work.group) < SAME_DEG
    return _Sample(gain=best.gain, same=near | (best.gain - own.gain < SAME_NATS))


def _best_view(
    work: Pass, state: RefineState, data: PreparedParticles, volume: torch.Tensor, images: PointImages,
    index: np.ndarray,
) -> LocalPoses:  # fmt: skip
    search = prepare_search(
        data, volume, min(SEARCH_RINGS, images.points.rings), offset_range_A=work.offset_range_A,
        offset_sd_A=state.offset_sd_A, group=work.group.numpy(), seed=state.seed, turn=state.iteration,
    )  # fmt: skip
    rotation, origin = starts(data, index, search, state.noise_power)
    return best_of(volume, images, rotation, origin, state.offset_sd_A)
