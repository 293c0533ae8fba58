"""Single-particle cryo-EM: from noisy particle images to validated class averages.

>>> import vitreous as vt
>>> settings = vt.Class2D(classes=100, particle_diameter_A=300.0)

From there ``vt.class2d(vt.read_particles("particles.star"), settings)`` returns class averages and poses as arrays,
and ``vt.run_class2d("particles.star", "out", settings)`` makes a folder with files for RELION and a report.
Names are imported when they are first used: ``import vitreous`` itself is cheap.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from vitreous.averages.class2d import Class2D, class2d
    from vitreous.averages.deconvolve import Deconvolve, deconvolve
    from vitreous.averages.denoise import Denoise, denoise
    from vitreous.averages.neighbours import Neighbours, NeighboursResult, neighbours
    from vitreous.averages.result import Class2DResult
    from vitreous.jobs import select_particles, write_report
    from vitreous.jobs.run_class2d import run_class2d
    from vitreous.jobs.run_deconvolve import run_deconvolve
    from vitreous.jobs.run_denoise import run_denoise
    from vitreous.jobs.run_initial import run_initial
    from vitreous.jobs.run_mixture import run_mixture
    from vitreous.jobs.run_neighbours import run_neighbours
    from vitreous.jobs.run_options import RunOptions
    from vitreous.jobs.run_pipeline import Pipeline, run_pipeline
    from vitreous.jobs.run_reconstruct import run_reconstruct
    from vitreous.jobs.run_simulate import run_simulate
    from vitreous.mixtures import (
        GaussianInitialModel,
        InitialModel,
        KnownPoses,
        Mixture,
        MixtureFit,
        MixtureSampling,
        initial_model,
        reconstruct_known,
    )
    from vitreous.particles import (
        ParticleSet,
        Volume,
        check_particles,
        open_stack,
        read_images,
        read_particles,
        read_star,
        read_volume,
        write_mrc_stack,
        write_star,
        write_volume,
    )
    from vitreous.simulate import SimulateSettings, load_volumes, phantom, simulate_batches

_HOMES = {
    "vitreous.averages.class2d": ("Class2D", "class2d"),
    "vitreous.averages.deconvolve": ("Deconvolve", "deconvolve"),
    "vitreous.averages.denoise": ("Denoise", "denoise"),
    "vitreous.averages.neighbours": ("Neighbours", "NeighboursResult", "neighbours"),
    "vitreous.averages.result": ("Class2DResult",),
    "vitreous.jobs": ("select_particles", "write_report"),
    "vitreous.jobs.run_class2d": ("run_class2d",),
    "vitreous.jobs.run_deconvolve": ("run_deconvolve",),
    "vitreous.jobs.run_denoise": ("run_denoise",),
    "vitreous.jobs.run_neighbours": ("run_neighbours",),
    "vitreous.jobs.run_initial": ("run_initial",),
    "vitreous.jobs.run_mixture": ("run_mixture",),
    "vitreous.jobs.run_options": ("RunOptions",),
    "vitreous.jobs.run_pipeline": ("Pipeline", "run_pipeline"),
    "vitreous.jobs.run_reconstruct": ("run_reconstruct",),
    "vitreous.jobs.run_simulate": ("run_simulate",),
    "vitreous.mixtures": (
        "GaussianInitialModel",
        "InitialModel",
        "KnownPoses",
        "Mixture",
        "MixtureFit",
        "MixtureSampling",
        "initial_model",
        "reconstruct_known",
    ),
    "vitreous.particles": (
        "ParticleSet",
        "Volume",
        "check_particles",
        "open_stack",
        "read_images",
        "read_particles",
        "read_star",
        "read_volume",
        "write_mrc_stack",
        "write_star",
        "write_volume",
    ),
    "vitreous.simulate": ("SimulateSettings", "load_volumes", "phantom", "simulate_batches"),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "Class2D",
    "Class2DResult",
    "Deconvolve",
    "Denoise",
    "GaussianInitialModel",
    "InitialModel",
    "KnownPoses",
    "Mixture",
    "MixtureFit",
    "MixtureSampling",
    "Neighbours",
    "NeighboursResult",
    "ParticleSet",
    "Pipeline",
    "RunOptions",
    "SimulateSettings",
    "Volume",
    "__version__",
    "check_particles",
    "class2d",
    "deconvolve",
    "denoise",
    "initial_model",
    "load_volumes",
    "neighbours",
    "open_stack",
    "phantom",
    "read_images",
    "read_particles",
    "read_star",
    "read_volume",
    "reconstruct_known",
    "run_class2d",
    "run_deconvolve",
    "run_denoise",
    "run_initial",
    "run_mixture",
    "run_neighbours",
    "run_pipeline",
    "run_reconstruct",
    "run_simulate",
    "select_particles",
    "simulate_batches",
    "write_mrc_stack",
    "write_report",
    "write_star",
    "write_volume",
]


def __getattr__(name: str) -> Any:
    """Import a public name from its room (PEP 562)."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
