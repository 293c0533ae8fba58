"""All starts of one method or of several, one start per step, and what follows from them.

A method is a function from averages, a seed and the number of a start to poses. What comes before and after it is the
same for all: the averages are prepared once, poses are polished, and the score is that of :mod:`.score`. Every method
starts from the averages, ``restarts`` times, and once from scrambled averages. Before them all, the averages themselves
are polished from random orientations, ``CONTROLS`` times: no method at all. The best of both kinds is chance.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from vitreous.iterate import Algorithm
from vitreous.models import InitialModelResult, one_conformation
from vitreous.particles import Volume
from vitreous.rotations import Agreement, compare_poses
from vitreous.structures.abinitio.maps import at_particle_size
from vitreous.structures.from_averages.fitting import Fit, map_of, polish
from vitreous.structures.from_averages.projection_matching import SEARCH_RINGS, random_orientations
from vitreous.structures.from_averages.score import Score, held_out, score_of
from vitreous.structures.from_averages.settings import FromAverages
from vitreous.structures.from_averages.views import Views

__all__ = [
    "CONTROLS",
    "RANDOM",
    "SCRAMBLED",
    "FromAveragesResult",
    "FromAveragesState",
    "Method",
    "MethodModel",
    "StartFit",
    "from_averages_algorithm",
]

SCRAMBLED = -1  # the number of the start from scrambled averages
RANDOM, CONTROLS = "random orientations", 2  # what is no method, and its starts


@dataclass(frozen=True, kw_only=True)
class Method:
    """start: (averages, seed, number of the start) -> poses. by_chance: whether it starts from scrambled ones, too."""

    name: str
    start: Callable[[Views, int, int], Fit]
    by_chance: bool = True


@dataclass(frozen=True, kw_only=True)
class StartFit:
    """The end of a start: poses rotation (n, 3, 3), origin_A (n, 2) of the centred averages, and h (m,)."""

    method: str
    start: int
    rotation: np.ndarray
    origin_A: np.ndarray
    held_out: np.ndarray

    @property
    def fit(self) -> Fit:
        """Its poses."""
        return Fit(rotation=self.rotation, origin_A=self.origin_A)


@dataclass(frozen=True, kw_only=True)
class FromAveragesState:
    """The starts that have ended."""

    iteration: int
    seed: int
    fits: tuple[StartFit, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class MethodModel:
    """The best start of a method. scores: (restarts,); agreements: of every restart with the best one."""

    method: str
    map: Volume
    rotation: np.ndarray
    origin_A: np.ndarray
    score: Score
    scores: np.ndarray
    best: int
    agreements: tuple[Agreement, ...]

    @property
    def agreeing(self) -> float:
        """Mean share of poses, beyond chance, that other restarts have in common with the best one; 1 where alone."""
        others = [one.beyond_chance for i, one in enumerate(self.agreements) if i != self.best]
        return float(np.mean(others)) if others else 1.0


@dataclass(frozen=True, kw_only=True, eq=False)
class FromAveragesResult:
    """model: of the method with the highest score; methods: of all, in the order in which they were asked for."""

    model: InitialModelResult[object]
    methods: tuple[MethodModel, ...]
    best: int

    @property
    def chosen(self) -> MethodModel:
        """The method of the model."""
        return self.methods[self.best]


def from_averages_algorithm(
    views: Views, methods: Sequence[Method], settings: FromAverages
) -> Algorithm[FromAveragesState, FromAveragesResult]:
    """One step per start, method after method; of each method the scrambled start is the first one."""
    plan = [(Method(name=RANDOM, start=random_orientations), start) for start in range(CONTROLS)]
    plan += [
        (method, start)
        for method in methods
        for start in ((SCRAMBLED,) if method.by_chance else ()) + tuple(range(settings.restarts))
    ]

    def init(seed: int) -> FromAveragesState:
        return FromAveragesState(iteration=0, seed=seed, fits=())

    def step(state: FromAveragesState) -> tuple[FromAveragesState, Mapping[str, Any]]:
        method, start = plan[state.iteration]
        found = _start(
            views.scrambled(state.seed) if start == SCRAMBLED else views, method, settings, state.seed, start
        )
        info = {"method": method.name, "start": start, "held_out_correlation": float(found.held_out.mean())}
        return replace(state, iteration=state.iteration + 1, fits=(*state.fits, found)), info

    return Algorithm(
        init=init,
        step=step,
        done=lambda state: state.iteration == len(plan),
        finalise=lambda state: _result(views, methods, settings, state),
    )


def _start(views: Views, method: Method, settings: FromAverages, seed: int, start: int) -> StartFit:
    fit = method.start(views, seed, start)
    fit = polish(views, fit, first_rings=min(SEARCH_RINGS, views.rings), rounds=settings.polish_rounds)
    return StartFit(
        method=method.name,
        start=start,
        rotation=fit.rotation,
        origin_A=fit.origin_A,
        held_out=held_out(views, fit, seed),
    )


def _result(
    views: Views, methods: Sequence[Method], settings: FromAverages, state: FromAveragesState
) -> FromAveragesResult:
    by_chance = [one.held_out for one in state.fits if one.start == SCRAMBLED or one.method == RANDOM]
    chance = max(by_chance, key=lambda h: float(h.mean()))
    models = tuple(_model(views, method.name, settings, state, chance) for method in methods)
    best = int(np.argmax([one.score.score for one in models]))
    chosen = models[best]
    return FromAveragesResult(
        model=one_conformation(
            chosen.map,
            chosen.rotation,
            chosen.origin_A,
            scores=chosen.scores,
            score="held out agreement",
            agreements=chosen.agreements,
        ),
        methods=models,
        best=best,
    )


def _model(
    views: Views, name: str, settings: FromAverages, state: FromAveragesState, chance: np.ndarray
) -> MethodModel:
    starts = [one for one in state.fits if one.method == name and one.start != SCRAMBLED]
    scores = [score_of(one.held_out, chance) for one in starts]
    best = int(np.argmax([one.score for one in scores]))
    fit, group = starts[best].fit, views.group.double().numpy()
    agreements = [
        compare_poses(fit.rotation, one.rotation, group=group, within_deg=settings.agreement_deg, chance=True)
        for one in starts
    ]
    return MethodModel(
        method=name,
        map=at_particle_size(map_of(views, fit, views.rings), views.data),
        rotation=fit.rotation,
        origin_A=fit.origin_A + views.moved_A,
        score=scores[best],
        scores=np.array([one.score for one in scores]),
        best=best,
        agreements=tuple(agreements),
    )
