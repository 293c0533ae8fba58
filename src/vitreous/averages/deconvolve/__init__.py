"""Non-negative multi-frame deconvolution: averages without CTF, without negative values, masked."""

from vitreous.averages.deconvolve.frames import Frames, Members, defocus_groups, sum_frames
from vitreous.averages.deconvolve.masks import automatic_mask
from vitreous.averages.deconvolve.problem import Problem, gradient, normal_equations, objective, tikhonov
from vitreous.averages.deconvolve.result import DeconvolveResult
from vitreous.averages.deconvolve.settings import Deconvolve
from vitreous.averages.deconvolve.single import single_frames
from vitreous.averages.deconvolve.solve import Solution, deconvolve_frames, solve
from vitreous.averages.deconvolve.task import DeconvolveRun, deconvolve, prepare_deconvolution

__all__ = [
    "Deconvolve",
    "DeconvolveResult",
    "DeconvolveRun",
    "Frames",
    "Members",
    "Problem",
    "Solution",
    "automatic_mask",
    "deconvolve",
    "deconvolve_frames",
    "defocus_groups",
    "gradient",
    "normal_equations",
    "objective",
    "prepare_deconvolution",
    "single_frames",
    "solve",
    "sum_frames",
    "tikhonov",
]
