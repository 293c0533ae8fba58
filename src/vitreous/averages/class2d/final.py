"""The last pass: every particle once, plain posterior, continuous poses, averages from the original pixels.

Is there anything? Averages of aligned noise reproduce the reference that the noise was aligned to, so the halves of a
class correlate even when nothing is there (model bias, seed 001). The program measures its own bias. Images of pure
noise with the spectrum of the data are matched to the same references; what the halves of their averages
correlate by is taken off the FRC of the classes (as noise substitution does for maps: Chen et al. 2013). And a jury of
particles that no reference has ever seen must match better than noise does, or nothing was found: the folds
themselves cannot tell, since they have aligned each other over many passes.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch

from vitreous.averages.class2d.em import Members, State, data_limit, fold_references
from vitreous.averages.class2d.model import FoldSums, signal_power, wiener
from vitreous.averages.class2d.restore import Averages, Poses, restore
from vitreous.averages.class2d.settings import Class2D
from vitreous.averages.result import Class2DResult
from vitreous.matching import Outcome, PreparedParticles, Sums, expect, plan_search, refine_poses
from vitreous.quality import resolution_at
from vitreous.randomness import normal_images, uniforms

__all__ = ["NoiseTest", "assign", "finish", "noise_test"]

KEEP_NATS = 10.0
FRC_THRESHOLD = 0.143
SIGNAL_SIGMAS, SIGNAL_NATS = 4.0, 0.25  # how much better than noise the images must match
NOISE_IMAGES_PER_CLASS = 40
CENTRING_DISC = 0.75  # of the particle's radius
FIRST_SHELLS = 5  # where the CTF may hide the signal of a class that has some at finer resolution
Progress = Callable[[int, int, str], None]


@dataclass(frozen=True, kw_only=True)
class Assignment:
    """Outcome of particles ``index`` with continuous poses, and class sums over all of them (F, K)."""

    index: np.ndarray
    outcome: Outcome
    members: np.ndarray  # (K,)
    square_members: np.ndarray


@dataclass(frozen=True, kw_only=True)
class NoiseTest:
    """frc: (R,) correlation of halves made of noise; excess: nats by which the jury matches better; sigmas: of it."""

    frc: np.ndarray
    excess: float
    sigmas: float

    @property
    def found_signal(self) -> bool:
        """Whether the images are more than noise to these references."""
        return self.excess > SIGNAL_NATS and self.sigmas > SIGNAL_SIGMAS


def assign(
    state: State,
    data: PreparedParticles,
    settings: Class2D,
    members: Members,
    offset_range_A: float,
    progress: Callable[[int, int], None],
) -> Assignment:
    """Plain posterior of every particle against averages without its own fold; sub-grid poses of its best class."""
    rings = min(state.rings, data.basis.rings, data_limit(data, settings))
    plan = plan_search(data.grid(rings, offset_range_A), offset_range_A / data.pixel_size_A, keep=KEEP_NATS)
    offset_sd = _offset_sd_px(state, data, offset_range_A)
    parts, totals, done = [], [], 0
    for fold, index in members.groups:
        references = fold_references(state.sums, fold, plan, data, settings, offset_sd)
        sums, outcome = expect(data, index, plan, references, state.noise_power)
        for start in range(0, len(index), 512):
            piece = slice(start, start + 512)
            label = torch.from_numpy(outcome.reference[piece]).to(data.device)
            psi, shift = refine_poses(
                data.tile(index[piece], rings, state.noise_power),
                references[1].harmonics[label],
                plan.fine,
                torch.from_numpy(outcome.psi_rad[piece]).to(data.device),
                torch.from_numpy(outcome.shift_px[piece]).to(data.device),
                offset_sd_px=offset_sd,
            )
            outcome.psi_rad[piece] = psi.cpu().numpy()
            outcome.shift_px[piece] = shift.cpu().numpy()
        parts.append(outcome)
        totals.append((sums.members, sums.square_members))
        done += len(index)
        progress(done, sum(len(m) for _, m in members.groups))
    return Assignment(
        index=np.concatenate([m for _, m in members.groups]),
        outcome=Outcome.join(parts),
        members=torch.stack([t[0] for t in totals]).sum(0).cpu().numpy(),
        square_members=torch.stack([t[1] for t in totals]).sum(0).cpu().numpy(),
    )


def _offset_sd_px(state: State, data: PreparedParticles, offset_range_A: float) -> float:
    return (state.offset_sd_A or offset_range_A / 2) / data.pixel_size_A


def noise_test(
    state: State,
    data: PreparedParticles,
    settings: Class2D,
    members: Members,
    offset_range_A: float,
    jury_evidence: np.ndarray,
) -> NoiseTest:
    """Match noise instead of images (module docstring). jury_evidence: log evidence of the jury's particles."""
    rings = min(state.rings, data.basis.rings, data_limit(data, settings))
    plan = plan_search(data.grid(rings, offset_range_A), offset_range_A / data.pixel_size_A, keep=KEEP_NATS)
    references = fold_references(state.sums, None, plan, data, settings, _offset_sd_px(state, data, offset_range_A))
    noise = replace(data, packed=_NoiseRows(data, settings.seed))
    index = np.concatenate(members.folds)[: NOISE_IMAGES_PER_CLASS * settings.classes]
    (sums_a, outcome_a), (sums_b, outcome_b) = (
        expect(noise, index[half::2], plan, references, state.noise_power) for half in (0, 1)
    )
    null = np.concatenate([outcome_a.log_evidence, outcome_b.log_evidence])
    excess = float(jury_evidence.mean() - null.mean())
    error = float(np.sqrt(jury_evidence.var() / len(jury_evidence) + null.var() / len(null)))
    return NoiseTest(frc=_ring_frc(sums_a, sums_b, data), excess=excess, sigmas=excess / max(error, 1e-9))


class _NoiseRows:
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
        scale = self.scale[self.data.noise_group[index]][:, self.ring]
        return rows * np.concatenate([scale, scale], 1)


def _ring_frc(half_a: Sums, half_b: Sums, data: PreparedParticles) -> np.ndarray:
    """Correlation of two half-sets on every ring, averaged over classes that have members in both: (R,)."""
    a, b = (h.signal / (h.power[..., None] + 1e-12) for h in (half_a, half_b))
    m = data.basis.multiplicity[: a.shape[2]].to(a.device)
    cross = ((a * b.conj()).real * m).sum(2)
    norm = ((a.abs().square() * m).sum(2) * (b.abs().square() * m).sum(2)).sqrt().clamp_min(1e-30)
    both = (half_a.members > 1) & (half_b.members > 1)
    curve = (cross / norm)[both].mean(0) if both.any() else torch.zeros(a.shape[1])
    return curve.clamp(0, 0.999).cpu().numpy()


def finish(
    state: State,
    data: PreparedParticles,
    settings: Class2D,
    members: Members,
    offset_range_A: float,
    read: Callable[[np.ndarray], np.ndarray],
    history: list[dict],
    progress: Progress,
) -> Class2DResult:
    """The last pass and everything that the user gets."""
    found = assign(state, data, settings, members, offset_range_A, partial(_say, progress, "final pass"))
    jury = found.outcome.log_evidence[len(found.index) - len(members.jury) :]
    noise = noise_test(state, data, settings, members, offset_range_A, jury)
    poses = _poses(found, state, data, settings, offset_range_A)
    averages = restore(
        read,
        data.preparation,
        data.ctf,
        poses,
        settings.classes,
        device=data.device,
        progress=partial(_say, progress, "averages"),
    )
    return _result(state, data, settings, found, poses, averages, noise, history)


def _say(progress: Progress, what: str, done: int, total: int) -> None:
    progress(done, total, what)


def _poses(found: Assignment, state: State, data: PreparedParticles, settings: Class2D, offset_range_A: float) -> Poses:
    """Poses in raw pixels, classes centred, halves dealt out in turn within every class."""
    outcome, raw = found.outcome, data.pixel_size_A / data.preparation.pixel_size_A
    shift = outcome.shift_px * raw - _centring(state.sums, data, settings, offset_range_A)[outcome.reference]
    c, s = np.cos(outcome.psi_rad), np.sin(outcome.psi_rad)
    origin = np.stack([c * shift[:, 0] + s * shift[:, 1], -s * shift[:, 0] + c * shift[:, 1]], 1)
    key = uniforms(settings.seed, "half", ids=found.index)[:, 0]
    half = np.zeros(len(key), np.int64)
    for k in range(settings.classes):
        mine = np.flatnonzero(outcome.reference == k)
        half[mine[np.argsort(key[mine])]] = np.arange(len(mine)) % 2
    return Poses(
        particle=found.index, class_index=outcome.reference, half=half, psi_rad=outcome.psi_rad, origin_px=origin
    )


def _centring(sums: FoldSums, data: PreparedParticles, settings: Class2D, offset_range_A: float) -> np.ndarray:
    """Centre of mass of every class average with respect to the centre of the box, (K, 2) in raw pixels.

    The mass is the density above a fifth of the maximum of the low-pass average, within a disc that follows it, so that
    neighbours at the rim do not pull; no class moves farther than a particle may.
    """
    tau2 = signal_power(sums, data.basis)
    rings = min(8, data.basis.rings)
    signal, power = sums.signal.sum(0), sums.power.sum(0)
    averages = wiener(signal, power, tau2)[:, :rings, : int(data.basis.q_max[rings - 1]) + 1]
    pictures = data.picture(averages).cpu()
    mass = (pictures - 0.2 * pictures.amax((1, 2), keepdim=True)).clamp_min(0)
    axis = torch.arange(pictures.shape[-1]) - pictures.shape[-1] // 2
    radius = CENTRING_DISC * data.preparation.radius_px
    centre = torch.zeros(len(mass), 2)
    for _ in range(4):
        x, y = (axis - centre[:, i : i + 1] for i in (0, 1))
        near = mass * (x.square()[:, None, :] + y.square()[:, :, None] < radius**2)
        total = near.sum((1, 2)).clamp_min(1e-12)
        centre = torch.stack([(near.sum(1) * axis).sum(1) / total, (near.sum(2) * axis).sum(1) / total], 1)
    reach = offset_range_A / data.preparation.pixel_size_A
    return (centre * (reach / centre.norm(dim=1).clamp_min(reach))[:, None]).numpy()


def _result(
    state: State,
    data: PreparedParticles,
    settings: Class2D,
    found: Assignment,
    poses: Poses,
    averages: Averages,
    noise: NoiseTest,
    history: list[dict],
) -> Class2DResult:
    n, pixel, box = len(data), data.preparation.pixel_size_A, data.preparation.box_px
    population = np.bincount(poses.class_index, minlength=settings.classes)
    order = np.argsort(-population, kind="stable")
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    frc = _corrected(averages.frc.cpu().numpy(), noise.frc, data)[order]
    resolution = resolution_at(torch.from_numpy(_scanned(frc)), FRC_THRESHOLD, box, pixel).numpy()
    if not noise.found_signal:
        resolution = np.full_like(resolution, np.inf)  # a correlation of aligned noise is not a resolution
    outcome = found.outcome

    def spread(values: np.ndarray, fill: float = 0.0, dtype: type = np.float64) -> np.ndarray:
        out: np.ndarray = np.full(n, fill, dtype)
        out[found.index] = values
        return out

    unit = data.white_noise_power
    shells = np.arange(box // 2 + 1, dtype=np.float64)
    return Class2DResult(
        pixel_size_A=pixel,
        particle_diameter_A=data.preparation.particle_diameter_A,
        averages=averages.full[order].cpu().numpy(),
        averages_half=averages.halves[:, order].cpu().numpy(),
        frc=frc,
        ssnr=averages.ssnr[order].cpu().numpy(),
        resolution_A=resolution,
        population=population[order],
        distribution=(found.members / found.members.sum())[order],
        effective_number=(found.members**2 / np.maximum(found.square_members, 1e-12))[order],
        class_number=spread(rank[outcome.reference] + 1, dtype=np.int64),
        psi_deg=spread((np.rad2deg(outcome.psi_rad) + 180) % 360 - 180),
        origin_x_A=spread(poses.origin_px[:, 0] * pixel),
        origin_y_A=spread(poses.origin_px[:, 1] * pixel),
        weight=spread(np.ones(len(found.index))),
        max_probability=spread(outcome.max_probability),
        entropy=spread(outcome.entropy),
        effective_classes=spread(np.exp(outcome.entropy)),
        significant=spread(outcome.significant, dtype=np.int64),
        log_likelihood=spread(outcome.log_evidence),
        noise_power=np.stack([np.interp(shells, *_curve(p, data)) for p in state.noise_power.cpu().numpy() / unit]),
        noise_group=data.noise_group,
        found_signal=noise.found_signal,
        history=history,
        messages=_messages(noise, data, population),
    )


def _curve(values: np.ndarray, data: PreparedParticles) -> tuple[np.ndarray, np.ndarray]:
    """A curve over rings as (Fourier pixels of the raw box, values)."""
    shells = data.basis.k_per_px * data.basis.box_px
    return shells[: len(values)], values


def _corrected(frc: np.ndarray, null: np.ndarray, data: PreparedParticles) -> np.ndarray:
    """FRC (K, F) without the correlation that noise reaches by being aligned: (f - f0) / (1 - f0)."""
    shells = np.arange(frc.shape[1], dtype=np.float64)
    position, values = _curve(null, data)
    bias = np.interp(shells, position, values, right=0.0)
    return (frc - bias) / (1 - bias)


def _scanned(frc: np.ndarray) -> np.ndarray:
    """The curves (K, F) in which the resolution is looked for.

    Smoothed with weights 1/4, 1/2, 1/4, because one shell of a small class scatters by more than the threshold; and
    without dips before the best of the first shells, where the CTF is weak.
    """
    padded = np.pad(frc, ((0, 0), (1, 1)), mode="edge")
    curve = 0.25 * padded[:, :-2] + 0.5 * padded[:, 1:-1] + 0.25 * padded[:, 2:]
    first = curve[:, 1 : FIRST_SHELLS + 1]
    before = np.arange(1, first.shape[1] + 1) <= first.argmax(1)[:, None]
    curve[:, 1 : FIRST_SHELLS + 1] = np.where(before, first.max(1, keepdims=True), first)
    return curve


def _messages(noise: NoiseTest, data: PreparedParticles, population: np.ndarray) -> list[str]:
    lines = []
    if not noise.found_signal:
        lines.append(
            "Nothing was found: the images match the class averages no better than pure noise does "
            f"({noise.excess:+.2f} nats per image, {noise.sigmas:.1f} standard errors); the averages are aligned noise."
        )
    if data.bad.any():
        lines.append(f"{int(data.bad.sum())} particles were refused (NaN, infinite or constant) and have weight 0.")
    empty = int((population == 0).sum())
    if empty:
        lines.append(f"{empty} classes have no particles.")
    return lines
