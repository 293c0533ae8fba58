"""The methods by name, the kind of settings that each has, and a model in one call."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from vitreous.iterate import Algorithm, run
from vitreous.structures.from_averages.algorithm import (
    FromAveragesResult,
    FromAveragesState,
    Method,
    from_averages_algorithm,
)
from vitreous.structures.from_averages.clustered_lines import clustered_lines
from vitreous.structures.from_averages.common_lines import common_lines
from vitreous.structures.from_averages.projection_matching import projection_matching
from vitreous.structures.from_averages.quasi_newton import quasi_newton
from vitreous.structures.from_averages.ransac import ransac
from vitreous.structures.from_averages.settings import (
    AllMethods,
    ClusteredLines,
    CommonLines,
    FromAverages,
    ProjectionMatching,
    QuasiNewton,
    Ransac,
    Significant,
    Stochastic,
    shared_settings,
)
from vitreous.structures.from_averages.significant import significant
from vitreous.structures.from_averages.stochastic import stochastic
from vitreous.structures.from_averages.views import Views, prepare_views

__all__ = ["FEWEST", "METHODS", "method_of", "methods_for", "model_from_averages", "prepare_algorithm"]

FEWEST = 5  # averages: fewer leave nothing to hold out, and no third image for a pair
METHODS: dict[str, tuple[type[Any], Callable[[Views, Any, int, int], Any]]] = {
    "common-lines": (CommonLines, common_lines),
    "projection-matching": (ProjectionMatching, projection_matching),
    "significant": (Significant, significant),
    "stochastic": (Stochastic, stochastic),
    "ransac": (Ransac, ransac),
    "clustered-lines": (ClusteredLines, clustered_lines),
    "quasi-newton": (QuasiNewton, quasi_newton),
}


def method_of(name: str, settings: FromAverages) -> Method:
    """A method with its settings bound."""
    start = METHODS[name][1]
    return Method(name=name, start=lambda views, seed, number: start(views, settings, seed, number))


def methods_for(settings: FromAverages) -> list[Method]:
    """The method that settings are of; of :class:`AllMethods` all that there are, each with its usual settings."""
    if isinstance(settings, AllMethods):
        return [method_of(name, shared_settings(kind, settings)) for name, (kind, _) in METHODS.items()]
    name = next(name for name, (kind, _) in METHODS.items() if kind is type(settings))
    return [method_of(name, settings)]


def prepare_algorithm(
    images: np.ndarray, pixel_size_A: float, settings: FromAverages, *, others: Sequence[Callable[[Views], Method]] = ()
) -> tuple[Algorithm[FromAveragesState, FromAveragesResult], Views, list[Method]]:
    """The algorithm for averages (n, L, L), what they have become, and the methods.

    others: methods of other rooms, made for the prepared averages. Raises ValueError for fewer than 5 averages, and
    for what :func:`vitreous.structures.from_averages.prepare_views` refuses.
    """
    if len(images) < FEWEST:
        raise ValueError(
            f"{len(images)} average(s): at least {FEWEST} are needed, of which some predict the others; give averages "
            "of more views (ten or more, as different as possible)"
        )
    views = prepare_views(
        images,
        pixel_size_A,
        symmetry=settings.symmetry,
        particle_diameter_A=settings.particle_diameter_A,
        offset_range_A=settings.offset_range_A,
        rings=settings.rings,
    )
    methods = [*methods_for(settings), *(make(views) for make in others)]
    return from_averages_algorithm(views, methods, settings), views, methods


def model_from_averages(
    images: np.ndarray, pixel_size_A: float, settings: FromAverages, **callbacks: Any
) -> FromAveragesResult:
    """An initial model from class averages (n, L, L), particles white on a background of 0, by the settings' method.

    callbacks: those of :func:`vitreous.iterate.run`. Raises ValueError as :func:`prepare_algorithm` does.
    """
    algorithm, _, _ = prepare_algorithm(images, pixel_size_A, settings)
    result, _ = run(algorithm, seed=settings.seed, **callbacks)
    return result
