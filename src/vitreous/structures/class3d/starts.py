"""How a start goes on: components, classes along them, EM passes, and what the other half says of them."""

from dataclasses import replace
from typing import Any

import numpy as np

from vitreous.matching import own_half
from vitreous.randomness import generator, uniforms
from vitreous.structures.class3d.halves import judge
from vitreous.structures.class3d.passes import class_pass, component_pass, half_folds, inserted
from vitreous.structures.class3d.state import Scene, StartState
from vitreous.structures.class3d.sums import ClassSums

__all__ = ["MOST_COMPONENT_PASSES", "SETTLED", "advance_start", "first_state", "moved"]

MOST_COMPONENT_PASSES = 15
SAME_COMPONENTS = 0.99  # least correlation of components with those of the last pass, when they are found
SETTLED = 0.005  # share of the particles whose class changes, below which a start is judged
KMEANS_TRIES, KMEANS_STEPS = 10, 30


def first_state(scene: Scene, seed: int, classes: int, how: str, given: np.ndarray | None) -> StartState:
    """A start before its first pass; given: (n, K) probabilities to begin with."""
    n = len(scene.data)
    score = np.zeros((n, classes - 1))
    posterior = np.zeros((n, classes))
    used = np.concatenate(scene.folds)
    if given is not None:
        posterior[used] = given[used]
    elif how == "random":
        posterior[used, (classes * uniforms(seed, "first classes", ids=used)[:, 0]).astype(np.int64)] = 1.0
    else:
        u = uniforms(seed, "first scores", ids=used, count=2 * (classes - 1))
        score[used] = np.sqrt(-2 * np.log1p(-u[:, 0::2])) * np.cos(2 * np.pi * u[:, 1::2])
    return StartState(
        seed=seed,
        stage="components" if given is None and how == "components" else "classes",
        passes=0,
        score=score,
        posterior=posterior,
        changed=1.0,
        cross=np.zeros((n, classes)),
        evidence=0.0,
        sigmas=0.0,
        agreement=0.0,
    )


def advance_start(
    scene: Scene, start: StartState, parts: tuple[ClassSums, ...] | None, iterations: int
) -> tuple[StartState, tuple[ClassSums, ...] | None, dict[str, Any]]:
    """A pass; parts: statistics at the state of the start, None where they have to be made."""
    if start.stage == "components":
        following = _with_components(scene, start)
        return following, None, {"stage": "components", "pass": following.passes}
    if parts is None:
        parts = inserted(scene, start.posterior)
    if start.stage == "judge":
        judged = judge(scene, parts, start.posterior)
        following = replace(start, stage="done", **vars(judged))
        return following, None, {"stage": "judged", "evidence": judged.evidence, "agreement": judged.agreement}
    parts, index, found = class_pass(scene, parts, start.posterior, against=own_half)
    following = moved(start, index, found.values)
    settled = following.changed < SETTLED or following.passes >= iterations
    info = {"stage": "classes", "pass": following.passes, "changed_fraction": following.changed}
    return replace(following, stage="judge" if settled else "classes"), parts, info


def moved(start: StartState, index: np.ndarray, posterior: np.ndarray) -> StartState:
    """With other probabilities of particles ``index``."""
    new = start.posterior.copy()
    new[index] = posterior
    changed = float((new[index].argmax(1) != start.posterior[index].argmax(1)).mean())
    return replace(start, posterior=new, changed=changed, passes=start.passes + 1)


def _with_components(scene: Scene, start: StartState) -> StartState:
    """With the components of one more pass; with classes along them when they stand still."""
    score = component_pass(scene, inserted(scene, start.score, components=True))
    passes, halves = start.passes + 1, half_folds(scene.folds)
    still = min(_still(score[half], start.score[half]) for half in halves)
    if passes < MOST_COMPONENT_PASSES and still < SAME_COMPONENTS:
        return replace(start, score=score, passes=passes, changed=1 - still)
    posterior = start.posterior.copy()
    for number, half in enumerate(halves):
        classes = posterior.shape[1]
        posterior[half] = np.eye(classes)[_clusters(score[half], classes, start.seed, number)]
    return replace(start, stage="classes", score=score, posterior=posterior, passes=0, changed=1.0)


def _still(new: np.ndarray, old: np.ndarray) -> float:
    """The least canonical correlation of white scores (m, q) with others."""
    return float(np.linalg.svd(new.T @ old / len(new), compute_uv=False).min())


def _clusters(points: np.ndarray, classes: int, seed: int, half: int) -> np.ndarray:
    """Labels (m,) of points (m, q) by K-means, the best of several beginnings (Arthur and Vassilvitskii 2007)."""
    rng = generator(seed, "clusters", half)
    best, label = np.inf, np.zeros(len(points), np.int64)
    for _ in range(KMEANS_TRIES):
        centres = points[[int(rng.integers(len(points)))]]
        while len(centres) < classes:
            near = ((points[:, None] - centres) ** 2).sum(2).min(1)
            at = np.searchsorted(np.cumsum(near), rng.random() * near.sum())
            centres = np.concatenate([centres, points[[min(int(at), len(points) - 1)]]])
        for _ in range(KMEANS_STEPS):
            distance = ((points[:, None] - centres) ** 2).sum(2)
            own = distance.argmin(1)
            centres = np.stack([points[own == k].mean(0) if (own == k).any() else centres[k] for k in range(classes)])
        if distance.min(1).sum() < best:
            best, label = float(distance.min(1).sum()), own
    return label
