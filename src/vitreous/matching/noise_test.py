"""Is there anything? The test that every classification and refinement can ask for: noise in the place of the images.

Averages of aligned noise reproduce the reference that the noise was aligned to, so the halves of a class correlate even
when nothing is there (model bias, seed 001). The program measures its own bias: images of pure noise with the spectrum
of the data are matched to the same references; what the halves of their averages correlate by is taken off the FRC (as
noise substitution does for maps: Chen et al. 2013). And particles that no reference has ever seen must match better
than noise does, or nothing was found: the folds themselves cannot tell, since they have aligned each other over many
passes.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch

from vitreous.matching.accumulate import Sums
from vitreous.matching.expect import expect
from vitreous.matching.prepare import PreparedParticles
from vitreous.matching.references import References
from vitreous.matching.rings import RingBasis
from vitreous.matching.search import SearchPlan
from vitreous.processes import ALONE, Processes, by_process
from vitreous.randomness import normal_images

__all__ = ["NoiseRows", "NoiseTest", "corrected_frc", "held_out_size", "noise_test"]

HELD_OUT_SHARE, FEWEST_HELD_OUT, MOST_HELD_OUT = 0.1, 100, 250  # of the particles; enough to tell signal from noise
SIGNAL_SIGMAS, SIGNAL_NATS = 4.0, 0.25  # how much better than noise the images must match
NOISE_IMAGES_PER_REFERENCE = 40


def held_out_size(n: int) -> int:
    """How many of n particles are kept for the test."""
    return min(max(int(HELD_OUT_SHARE * n), min(FEWEST_HELD_OUT, n // 5)), MOST_HELD_OUT)


@dataclass(frozen=True, kw_only=True)
class NoiseTest:
    """frc: (R,) correlation of halves of noise; excess: nats by which unseen particles match better; sigmas: of it."""

    frc: np.ndarray
    excess: float
    sigmas: float

    @property
    def found_signal(self) -> bool:
        """Whether the images are more than noise to these references."""
        return self.excess > SIGNAL_NATS and self.sigmas > SIGNAL_SIGMAS


@dataclass(frozen=True, kw_only=True)
class _Evidence:
    log_evidence: np.ndarray


def noise_test(
    data: PreparedParticles,
    plan: SearchPlan,
    references: tuple[References | None, References],
    noise_power: torch.Tensor,
    index: np.ndarray,
    *,
    unseen_evidence: np.ndarray,
    seed: int,
    per_reference: int = NOISE_IMAGES_PER_REFERENCE,
    processes: Processes = ALONE,
) -> NoiseTest:
    """Match noise instead of images.

    references: those of all folds; index: particles whose places the noise takes (the first ``per_reference`` for each
    reference: averages of more images show more of the bias); unseen_evidence: log evidence of particles that no
    reference has seen.
    """
    noise = replace(data, packed=NoiseRows(data, seed))
    places = index[: per_reference * references[1].count]
    sums, evidence = [], []
    for half in (0, 1):
        own, outcome = expect(
            noise, by_process(places[half::2], processes)[processes.rank], plan, references, noise_power
        )
        sums.append(processes.add(own))
        evidence.append(processes.gather(_Evidence(log_evidence=outcome.log_evidence)).log_evidence)
    null = np.concatenate(evidence)
    excess = float(unseen_evidence.mean() - null.mean())
    error = float(np.sqrt(unseen_evidence.var() / len(unseen_evidence) + null.var() / len(null)))
    return NoiseTest(frc=_ring_frc(sums[0], sums[1], data), excess=excess, sigmas=excess / max(error, 1e-9))


def corrected_frc(frc: np.ndarray, null: np.ndarray, basis: RingBasis) -> np.ndarray:
    """FRC (..., F) by shell without the correlation ``null`` (R,) that aligned noise has: (f - f0) / (1 - f0)."""
    shells = np.arange(frc.shape[-1], dtype=np.float64)
    at = basis.k_per_px[: len(null)] * basis.box_px
    bias = np.interp(shells, at, null, right=0.0)
    return (frc - bias) / (1 - bias)


class NoiseRows:
    """Packed ring harmonics of noise images with the spectrum of their particles' group, made when they are asked for.

    The spectrum is the whole one of the images, signal included: if nothing is there, all of it is noise, and what
    the averages seem to explain must not be taken off. White noise goes through mask and expansion like an image, so
    neighbouring rings are correlated as they are there.
    """

    def __init__(self, data: PreparedParticles, seed: int):
        self.data = data
        self.seed = seed
        used = data.basis.used.numpy()
        self.ring = np.broadcast_to(np.arange(data.basis.rings)[:, None], used.shape)[used]
        self.scale = np.sqrt(data.group_power.cpu().numpy() / data.basis.mask_power)

    def __len__(self) -> int:
        return len(self.data.packed)

    def __getitem__(self, index: np.ndarray) -> np.ndarray:
        box = self.data.basis.box_px
        white = normal_images(self.seed, "noise test", ids=index, box_px=box)
        rows = self.data.basis.expand(torch.from_numpy(white)).numpy()
        scale = self.scale[self.data.noise_group[index]]
        gain = self.data.noise_gain(index)
        scale = (scale if gain is None else scale * gain.numpy())[:, self.ring]
        return rows * np.concatenate([scale, scale], 1)


def _ring_frc(half_a: Sums, half_b: Sums, data: PreparedParticles) -> np.ndarray:
    """Correlation of two half-sets on every ring, averaged over references that have members in both: (R,)."""
    a, b = (h.signal / (h.power[..., None] + 1e-12) for h in (half_a, half_b))
    m = data.basis.multiplicity[: a.shape[2]].to(a.device)
    cross = ((a * b.conj()).real * m).sum(2)
    norm = ((a.abs().square() * m).sum(2) * (b.abs().square() * m).sum(2)).sqrt().clamp_min(1e-30)
    both = (half_a.members > 1) & (half_b.members > 1)
    curve = (cross / norm)[both].mean(0) if both.any() else torch.zeros(a.shape[1])
    return curve.clamp(0, 0.999).cpu().numpy()
