"""From the last state to what the user gets: maps of the classes from the original pixels, and what is said of them.

Half maps of a class are of the particles of two sets of folds. Their labels come from maps of all particles but the
own fold, so the halves are not apart as those of a refinement are; each class can be refined by itself.
"""

from typing import TYPE_CHECKING

import numpy as np
import torch

from vitreous.particles import Volume
from vitreous.structures.class3d.agreement import adjusted_rand_index, not_told_apart
from vitreous.structures.class3d.halves import LEAST_AGREEMENT, LEAST_NATS, LEAST_SIGMAS
from vitreous.structures.class3d.result import Class3DResult, ClassMap, Start3D
from vitreous.structures.class3d.state import Class3DState, StartState
from vitreous.structures.poses import Poses
from vitreous.structures.refine.final import best_map, noise_curves
from vitreous.volumes import (
    Gridding,
    HalfMapFSC,
    PosedParticles,
    Reconstruction,
    half_map_fsc,
    low_pass,
    reconstruct,
    spherical_mask,
)
from vitreous.words import counted

if TYPE_CHECKING:
    from vitreous.structures.class3d.task import Class3DRun

__all__ = ["best_start", "finish", "found_classes"]

FEWEST = 10  # particles of a class that has a map of its own
LEAST_WEIGHT = 1e-3  # probabilities below it are nothing
PEAK_SIGMAS = 6.0  # of a difference map, beyond what some 1e5 voxels reach by chance


def best_start(starts: tuple[StartState, ...]) -> int:
    """The one of the most held-out evidence."""
    return int(np.argmax([start.evidence for start in starts]))


def found_classes(start: StartState) -> bool:
    """Whether two halves of the particles, classified apart, agree that there are classes, and on which."""
    more = start.evidence > LEAST_NATS and start.sigmas > LEAST_SIGMAS
    return more and start.agreement > LEAST_AGREEMENT


def finish(run: "Class3DRun", state: Class3DState) -> Class3DResult:
    """The maps and everything that is said about them."""
    assert state.joint is not None
    best = best_start(state.starts)
    half, used = _halves(run, state)
    order = np.argsort(-state.joint.posterior[used].sum(0), kind="stable")
    posterior = state.joint.posterior[:, order]
    label = np.where(used, posterior.argmax(1), -1)
    maps = _maps(run, state, posterior, label, half)
    found = found_classes(state.starts[best])
    starts = tuple(_summary(start, label, used, number == best) for number, start in enumerate(state.starts))
    return Class3DResult(
        poses=Poses(
            particle=np.arange(len(label)), volume=label, rotation=state.rotation, origin_A=state.origin_A
        ),
        posterior=posterior,
        gain=np.where(used, state.gain, 0.0),
        half=half,
        classes=maps,
        starts=starts,
        found_classes=found,
        messages=_messages(run, state, maps, starts, used, found) + _alike(state.starts[best], used, order, found),
    )  # fmt: skip


def _halves(run: "Class3DRun", state: Class3DState) -> tuple[np.ndarray, np.ndarray]:
    """Half of every particle, -1 without a part, and who has one."""
    assert state.joint is not None
    half = np.full(len(state.known), -1)
    for number, fold in enumerate(run.folds(state, state.joint.seed)):
        half[fold] = number % 2
    return half, half >= 0


def _maps(
    run: "Class3DRun", state: Class3DState, posterior: np.ndarray, label: np.ndarray, half: np.ndarray
) -> tuple[ClassMap, ...]:
    noise = noise_curves(state.noise_power, run.data(state.room))
    counts = np.array([[((label == k) & (half == h)).sum() for h in (0, 1)] for k in range(posterior.shape[1])])
    found = []
    for k in range(posterior.shape[1]):
        run.on_progress(k, posterior.shape[1], "maps from the original pixels")
        weight = posterior[:, k] if counts[k].min() * 2 >= FEWEST else (half >= 0).astype(float)
        found.append(_reconstructed(run, state, np.where(weight < LEAST_WEIGHT, 0.0, weight), half, noise))
    ball = spherical_mask(found[0].halves[0], run.preparation.particle_diameter_A)
    curves = [
        half_map_fsc(*one.halves, ball, finest_A=run.preparation.finest_A, seed=state.seed) for one in found
    ]  # fmt: skip
    own = np.where(counts.min(1) * 2 >= FEWEST, counts.sum(1), 0)
    differences = _differences(found, curves, posterior[half >= 0].sum(0), ball)
    return tuple(
        ClassMap(
            particles=int(own[k]),
            full=best_map(found[k], run.preparation.radius_px),
            halves=found[k].halves,
            in_sphere=curves[k],
            difference=differences[k],
            peak=float(np.abs(differences[k].data).max()),
        )
        for k in range(len(found))
    )


def _reconstructed(
    run: "Class3DRun", state: Class3DState, weights: np.ndarray, half: np.ndarray, noise: np.ndarray
) -> Reconstruction:
    particles = PosedParticles(
        read=run.particles.read,
        preparation=run.preparation,
        ctf=run.ctf,
        rotations=state.rotation,
        origins_A=state.origin_A,
        half=np.maximum(half, 0),
        weights=np.where(half >= 0, weights, 0.0),
        noise_group=run.data(state.room).noise_group,
        noise_power=torch.from_numpy(noise).float(),
    )
    settings = Gridding(symmetry=run.settings.symmetry)
    return reconstruct(particles, settings, threads=run.threads, processes=run.processes)


def _differences(
    found: list[Reconstruction], curves: list[HalfMapFSC], share: np.ndarray, ball: Volume
) -> list[Volume]:
    """Each class less the mean of the others within the sphere, in standard deviations of the noise of that.

    The noise is half of what the differences of the two half-sets differ by.
    """
    claimed = [curve.certain_resolution_A for curve in curves if np.isfinite(curve.certain_resolution_A)]
    finest = max(claimed, default=4 * ball.pixel_size_A)
    halves = [
        [low_pass(one.halves[h], finest).data.astype(np.float64) for one in found] for h in (0, 1)
    ]  # fmt: skip
    out = []
    for k in range(len(found)):
        others = [j for j in range(len(found)) if j != k]
        weight = np.maximum(share[others], 1e-9) / np.maximum(share[others], 1e-9).sum()
        a, b = (maps[k] - np.tensordot(weight, [maps[j] for j in others], 1) for maps in halves)
        noise = float(np.sqrt(np.average(((a - b) / 2) ** 2, weights=ball.data)))
        out.append(ball.with_data((ball.data * (a + b) / 2 / max(noise, 1e-12)).astype(np.float32)))
    return out


def _summary(start: StartState, label: np.ndarray, used: np.ndarray, best: bool) -> Start3D:
    own, last = start.posterior[used].argmax(1), label[used]
    common = np.zeros((start.posterior.shape[1],) * 2, np.int64)
    np.add.at(common, (own, last), 1)
    return Start3D(
        evidence=start.evidence,
        sigmas=start.sigmas,
        halves_agree=start.agreement,
        best_agrees=adjusted_rand_index(own, last),
        common=common,
        best=best,
    )


def _alike(start: StartState, used: np.ndarray, order: np.ndarray, found: bool) -> list[str]:
    """Classes that the halves cannot tell from each other; order: (K,) the start's name of every class."""
    if not found:
        return []
    own, other = (values[used][:, order].argmax(1) for values in (start.posterior, start.cross))
    pairs = not_told_apart(own, other, len(order), LEAST_AGREEMENT, FEWEST)
    return [
        f"Classes {a + 1} and {b + 1} are not told apart: the two halves of the particles, classified apart, do not "
        "agree on who is in which. Take them for one, and ask for fewer classes."
        for a, b in pairs
    ]


def _messages(
    run: "Class3DRun",
    state: Class3DState,
    maps: tuple[ClassMap, ...],
    starts: tuple[Start3D, ...],
    used: np.ndarray,
    found: bool,
) -> list[str]:
    best, k = next(start for start in starts if start.best), len(maps)
    lines = []
    if not found:
        lines.append(
            f"No evidence for {k} classes: the maps of the other half of the particles explain a particle "
            f"better than their mean map by {best.evidence:+.2f} nats ({best.sigmas:.1f} standard errors), and the "
            f"classes of the two halves agree by {best.halves_agree:.2f} (adjusted Rand index; 0 is chance). The "
            "particles may show one structure, differ in a continuous way, or have poses that are too far off; maps "
            "and labels were written all the same."
        )
    elif len(starts) > 1 and max((s.best_agrees for s in starts if not s.best), default=1.0) < 0.5:
        lines.append("Not reproducible: no other start comes to these classes. Ask for other numbers of classes.")
    if state.given is not None:
        lines.append(
            "Classes began with references, in both halves of the particles alike: that the halves agree says "
            "less about these classes than it does without references."
        )
    empty = sum(not one.particles for one in maps)
    if empty:
        lines.append(
            f"Hardly any particle is in {empty} of {k} classes: the mean map is written there. Fewer classes suffice."
        )
    if state.joint is not None and state.joint.passes >= run.settings.iterations and state.joint.changed > 0.01:
        lines.append(
            f"The last stage stopped after {counted(state.joint.passes, 'pass')}, while {state.joint.changed:.1%} of "
            "the particles still changed their class."
        )
    without = int((~used).sum())
    if without:
        lines.append(f"{counted(without, 'particle')} had no part: images that could not be used, or no pose.")
    return lines
