"""Non-negative multi-frame deconvolution: averages without CTF, without negative values, masked."""

from vitreous.averages.deconvolve.group_averages import GroupAverages, average_groups, defocus_groups
from vitreous.averages.deconvolve.masks import automatic_mask
from vitreous.averages.deconvolve.problem import Problem, gradient, normal_equations, objective, tikhonov
from vitreous.averages.deconvolve.result import DeconvolveResult
from vitreous.averages.deconvolve.settings import Deconvolve
from vitreous.averages.deconvolve.single import single_averages
from vitreous.averages.deconvolve.solve import Solution, deconvolve_averages, solve
from vitreous.averages.deconvolve.task import DeconvolveRun, deconvolve, prepare_deconvolution

__all__ = [
    "Deconvolve",
    "DeconvolveResult",
    "DeconvolveRun",
    "GroupAverages",
    "Problem",
    "Solution",
    "automatic_mask",
    "average_groups",
    "deconvolve",
    "deconvolve_averages",
    "defocus_groups",
    "gradient",
    "normal_equations",
    "objective",
    "prepare_deconvolution",
    "single_averages",
    "solve",
    "tikhonov",
]
