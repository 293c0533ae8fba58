"""All iterative algorithms of the package on inputs that take a second, in one table."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from scipy.spatial.transform import Rotation

from vitreous.averages.align import Align, AlignState, prepare_alignment
from vitreous.averages.class2d import Class2D, prepare_run
from vitreous.averages.class2d.em import Class2DState
from vitreous.averages.deconvolve import Deconvolve, prepare_deconvolution
from vitreous.averages.deconvolve.task import DeconvolveState
from vitreous.averages.denoise import Denoise, prepare_denoising
from vitreous.averages.denoise.task import DenoiseState
from vitreous.averages.isac import ISAC, ISACState, prepare_isac
from vitreous.averages.mra import MRA, MRAState, prepare_mra
from vitreous.averages.msa import MSA, MSAState, prepare_msa
from vitreous.averages.neighbours import Neighbours, prepare_neighbours
from vitreous.averages.neighbours.task import NeighboursState
from vitreous.averages.stability import StabilityRunState, StabilityTest, prepare_stability
from vitreous.iterate import Algorithm
from vitreous.matching import Alignments, ImagePreparation
from vitreous.mixtures import (
    FitState,
    GaussianInitialModel,
    GaussianState,
    InitialModel,
    KnownPoses,
    KnownPosesState,
    Mixture,
    MixtureFit,
    MixtureSampling,
    SamplingState,
    fit_algorithm,
    gaussian_initial_model_algorithm,
    grid_fit_data,
    initial_model_algorithm,
    known_poses_algorithm,
    prepare_map,
    project,
    sampling_algorithm,
)
from vitreous.mixtures.poisson_poses import PoissonState
from vitreous.optics import CTFParameters
from vitreous.particles import Volume
from vitreous.rotations import random_rotations
from vitreous.structures import Poses
from vitreous.structures.abinitio import Abinitio, AbinitioState
from vitreous.structures.abinitio import prepare_run as prepare_abinitio
from vitreous.structures.class3d import Class3D, Class3DState, prepare_class3d
from vitreous.structures.from_averages import CommonLines, FromAverages, FromAveragesState, Stochastic
from vitreous.structures.from_averages import prepare_algorithm as prepare_from_averages
from vitreous.structures.refine import Refine, prepare_refinement
from vitreous.structures.refine.state import RefineState
from vitreous.testing import ArrayParticles, Blobs
from vitreous.volumes.reconstruction import ART, PosedParticles, ReconstructionState, reconstruction_algorithm

__all__ = ["ALGORITHMS", "Case"]

BOX, PIXEL_A, N = 24, 5.0, 96


@dataclass(frozen=True, kw_only=True)
class Case:
    """make: (seed of the settings, threads) -> algorithm; random: whether its result depends on the seed."""

    make: Callable[[int, int], Algorithm[Any, Any]]
    state: type
    random: bool = True


@lru_cache
def particles() -> ArrayParticles:
    """Two shapes, turned and shifted, at SNR 0.5."""
    rng = np.random.default_rng(0)
    shapes = [Blobs.random(200 + k, count=6, reach_px=6.0, width_px=1.5) for k in range(2)]
    clean = np.stack([shapes[i % 2].image(BOX, 360 * rng.random(), tuple(0.5 * rng.normal(size=2))) for i in range(N)])
    images = clean + np.sqrt(clean.var() / 0.5) * rng.normal(size=clean.shape)
    return ArrayParticles(images=images.astype(np.float32), pixel_size_A=PIXEL_A)


@lru_cache
def views() -> tuple[np.ndarray, np.ndarray]:
    """(projections of a lopsided object (8, L, L), their rotations)."""
    rng = np.random.default_rng(1)
    mixture = Mixture(
        means_A=rng.normal(size=(6, 3)) * 18.0, weights=rng.dirichlet(np.full(6, 5.0)), precision_per_A2=8.0**-2
    )
    rotations = random_rotations(8, seed=2).numpy()
    return project(mixture, rotations, BOX, PIXEL_A), rotations


@lru_cache
def small_map() -> Volume:
    """A map of a few blobs."""
    z, y, x = np.indices((12, 12, 12)) - 6.0
    data = sum(np.exp(-((x - a) ** 2 + (y + a) ** 2 + (z - b) ** 2) / 6) for a, b in ((0, 0), (2, -1), (-3, 2)))
    return Volume(data=np.asarray(data, np.float32), pixel_size_A=PIXEL_A)


def _class2d(seed: int, threads: int, **changes: Any) -> Algorithm[Any, Any]:
    settings = Class2D(
        classes=2, particle_diameter_A=100.0, folds=4, iterations=6, offset_range_A=8.0, seed=seed, **changes
    )
    return prepare_run(particles(), settings, threads=threads).algorithm


def _align(seed: int, threads: int, **changes: Any) -> Algorithm[Any, Any]:
    settings = Align(
        starts=2,
        particle_diameter_A=100.0,
        folds=4,
        iterations=4,
        offset_range_A=8.0,
        mirror=True,
        seed=seed,
        **changes,
    )
    return prepare_alignment(particles(), settings, threads=threads).algorithm


def _isac(seed: int, threads: int) -> Algorithm[Any, Any]:
    settings = ISAC(
        img_per_grp=48, starts=2, runs=2, generations=1, particle_diameter_A=100.0, offset_range_A=8.0, seed=seed
    )
    return prepare_isac(particles(), settings, threads=threads).algorithm


def _mra(seed: int, threads: int, **changes: Any) -> Algorithm[Any, Any]:
    settings = MRA(
        classes=3, particle_diameter_A=100.0, folds=4, iterations=4, offset_range_A=8.0, seed=seed, **changes
    )
    return prepare_mra(particles(), settings, threads=threads).algorithm


def _msa(seed: int, threads: int, most_exact: int = 4096) -> Algorithm[Any, Any]:
    """Many pixels are more than ``most_exact``."""
    settings = MSA(factors=4, classes=3, particle_diameter_A=100.0, seed=seed)
    turned = replace(Alignments.unknown(N), psi_rad=np.linspace(0, 6, N), origin_A=np.full((N, 2), 1.0))
    run = prepare_msa(particles(), settings, alignments=turned, threads=threads)
    return replace(run, most_exact=most_exact).algorithm


def _stability(seed: int, threads: int) -> Algorithm[Any, Any]:
    settings = StabilityTest(starts=2, particle_diameter_A=100.0, iterations=3, offset_range_A=8.0, seed=seed)
    classes = replace(Alignments.unknown(N), reference=np.arange(N) % 2)
    return prepare_stability(particles(), settings, alignments=classes, threads=threads).algorithm


def _abinitio(seed: int, threads: int, method: Literal["em", "sgd"] = "em") -> Algorithm[Any, Any]:
    settings = Abinitio(
        method=method, volumes=2, starts=2, particle_diameter_A=100.0, folds=4, iterations=3, offset_range_A=8.0,
        subset=40, resolution_limit_A=20.0, seed=seed,
    )  # fmt: skip
    return prepare_abinitio(particles(), settings, threads=threads).algorithm


def _neighbours(seed: int, threads: int) -> Algorithm[Any, Any]:
    settings = Neighbours(
        classes=8, neighbours=4, particle_diameter_A=100.0, runs=2, passes=2, averages=4, folds=4, seed=seed
    )
    return prepare_neighbours(particles(), settings, threads=threads).algorithm


def _mahalanobis(seed: int, threads: int) -> Algorithm[Any, Any]:
    settings = Neighbours(
        method="mahalanobis", classes=8, neighbours=4, particle_diameter_A=100.0, runs=1, passes=2, averages=4, folds=4,
        seed=seed,
    )  # fmt: skip
    return prepare_neighbours(particles(), settings, threads=threads).algorithm


def _deconvolve(seed: int, threads: int) -> Algorithm[Any, Any]:
    settings = Deconvolve(single=True, normalise=False, particle_diameter_A=100.0)
    return replace(prepare_deconvolution(particles(), settings), classes_per_step=40).algorithm


class _Memory:
    def __init__(self) -> None:
        self.parts: list[np.ndarray] = []

    @property
    def count(self) -> int:
        return sum(map(len, self.parts))

    def append(self, images: np.ndarray) -> None:
        self.parts.append(images)


def _denoise(seed: int, threads: int) -> Algorithm[Any, Any]:
    """The result is the model and the images of a sink of its own."""
    run, sink = prepare_denoising(particles(), Denoise(particle_diameter_A=100.0), memory_bytes=1 << 22), _Memory()
    algorithm = run.algorithm(sink)
    return replace(algorithm, finalise=lambda state: (algorithm.finalise(state), np.concatenate(sink.parts)))


def _initial(seed: int, threads: int, **changes: Any) -> Algorithm[Any, Any]:
    settings = InitialModel(
        restarts=2, components=12, box_px=16, counts=120, rounds=3, rounds_annealed=2, global_rotations=60,
        fine_components=16, fine_box_px=20, fine_counts=300, burn_in_steps=4, samples=2, steps_between=2,
        map_box_px=20, seed=seed, **changes,
    )  # fmt: skip
    return initial_model_algorithm(views()[0], PIXEL_A, settings, threads=threads)


def _gaussian(seed: int, threads: int) -> Algorithm[Any, Any]:
    settings = GaussianInitialModel(
        restarts=2, components=8, box_px=16, rounds=3, rounds_annealed=2, global_rotations=60, mixture_steps=2,
        pose_steps=2, fine_components=10, fine_box_px=20, burn_in_steps=4, samples=2, steps_between=2, map_box_px=20,
        seed=seed,
    )  # fmt: skip
    noisy = views()[0] + 0.05 * views()[0].std() * np.random.default_rng(3).normal(size=views()[0].shape)
    return gaussian_initial_model_algorithm(noisy, PIXEL_A, settings, threads=threads)


def _art(seed: int, threads: int) -> Algorithm[Any, Any]:
    images, rotations = views()
    posed = PosedParticles(
        read=lambda index: images[index].astype(np.float32),
        preparation=ImagePreparation.for_box(BOX, PIXEL_A),
        ctf=None,
        rotations=rotations,
        origins_A=np.zeros((8, 2)),
    )
    return reconstruction_algorithm(posed, ART(blocks=2, sweeps=2, relaxation=0.5, seed=seed), threads=threads)


def _known(seed: int, threads: int) -> Algorithm[Any, Any]:
    settings = KnownPoses(
        components=12, counts=300, burn_in_steps=4, samples=2, steps_between=2, box_px=20, map_box_px=20, seed=seed
    )
    return known_poses_algorithm(*views(), PIXEL_A, settings, threads=threads)


def _fit(seed: int, threads: int) -> Algorithm[Any, Any]:
    settings = MixtureFit(components=5, steps=4, tolerance=0.0, seed=seed)
    return fit_algorithm(grid_fit_data(prepare_map(small_map(), settings), settings.counts), settings)


def _sampling(seed: int, threads: int) -> Algorithm[Any, Any]:
    settings = MixtureSampling(
        components=5, start_steps=2, burn_in_steps=3, samples=2, steps_between=2, counts=2000, seed=seed
    )
    target = prepare_map(small_map(), settings)
    data = grid_fit_data(target, settings.counts)
    return sampling_algorithm(data, settings, shape=target.data.shape, pixel_size_A=target.pixel_size_A)


@lru_cache
def posed() -> tuple[ArrayParticles, Poses]:
    """Noisy projections of a lopsided object, and poses that are a little wrong."""
    rng = np.random.default_rng(4)
    mixture = Mixture(
        means_A=rng.normal(size=(8, 3)) * 16.0, weights=rng.dirichlet(np.full(8, 5.0)), precision_per_A2=7.0**-2
    )
    rotations = random_rotations(N, seed=5).numpy()
    clean = project(mixture, rotations, BOX, PIXEL_A)
    images = clean + np.sqrt(clean.var() / 0.5) * rng.normal(size=clean.shape)
    wrong = rotations @ Rotation.from_rotvec(rng.normal(0, 0.08, (N, 3))).as_matrix()
    poses = Poses(particle=np.arange(N), volume=np.zeros(N, np.int64), rotation=wrong, origin_A=np.zeros((N, 2)))
    return ArrayParticles(images=images.astype(np.float32), pixel_size_A=PIXEL_A), poses


def _refine(seed: int, threads: int, method: Literal["map", "frealign"] = "map") -> Algorithm[Any, Any]:
    settings = Refine(
        method=method, particle_diameter_A=100.0, folds=4, iterations=4, initial_lowpass_A=30.0, seed=seed
    )
    return prepare_refinement(posed()[0], settings, poses=posed()[1], threads=threads).algorithm


def _refine_imaging(seed: int, threads: int) -> Algorithm[Any, Any]:
    """Defocus and contrast of every particle as well; images that have no CTF are said to have been far from focus."""
    particles, start = posed()
    one = np.ones(N)
    ctf = CTFParameters(
        defocus_u_A=1.2e4 * one,
        defocus_v_A=1.2e4 * one,
        defocus_angle_deg=0 * one,
        voltage_kV=300 * one,
        cs_mm=2.7 * one,
        amplitude_contrast=0.1 * one,
        phase_shift_deg=60 * one,
        b_factor_A2=0 * one,
    )
    settings = Refine(
        particle_diameter_A=100.0,
        folds=4,
        iterations=4,
        initial_lowpass_A=30.0,
        refine_defocus="particles",
        refine_scale="particles",
        seed=seed,
    )
    given = replace(particles, ctf=ctf)
    return prepare_refinement(given, settings, poses=start, threads=threads).algorithm


def _class3d(seed: int, threads: int, **changes: Any) -> Algorithm[Any, Any]:
    """Particles with poses, in one of two maps that hardly differ: all stages are gone through."""
    settings = Class3D(particle_diameter_A=100.0, iterations=2, starts=1, resolution_limit_A=20.0, seed=seed, **changes)
    return prepare_class3d(posed()[0], settings, poses=posed()[1], threads=threads).algorithm


def _from_averages(kind: type[FromAverages], seed: int, **changes: Any) -> Algorithm[Any, Any]:
    settings = kind(restarts=2, polish_rounds=2, rings=5, offset_range_A=5.0, seed=seed, **changes)
    return prepare_from_averages(views()[0].astype(np.float32), PIXEL_A, settings)[0]


ALGORITHMS: dict[str, Case] = {
    "class3d": Case(make=_class3d, state=Class3DState),
    "class3d, local": Case(
        make=lambda seed, threads: _class3d(seed, threads, alignment="local", start="random"), state=Class3DState
    ),
    "common lines": Case(make=lambda seed, threads: _from_averages(CommonLines, seed), state=FromAveragesState),
    "stochastic": Case(make=lambda seed, threads: _from_averages(Stochastic, seed, passes=2), state=FromAveragesState),
    "abinitio": Case(make=_abinitio, state=AbinitioState),
    "abinitio, sgd": Case(make=lambda seed, threads: _abinitio(seed, threads, "sgd"), state=AbinitioState),
    "align": Case(make=_align, state=AlignState),
    "align, pyramidal": Case(make=lambda seed, threads: _align(seed, threads, method="pyramidal"), state=AlignState),
    "class2d": Case(make=_class2d, state=Class2DState),
    "class2d, best": Case(make=lambda seed, threads: _class2d(seed, threads, choice="best"), state=Class2DState),
    "neighbours": Case(make=_neighbours, state=NeighboursState),
    "neighbours, mahalanobis": Case(make=_mahalanobis, state=NeighboursState),
    "deconvolve": Case(make=_deconvolve, state=DeconvolveState, random=False),
    "denoise": Case(make=_denoise, state=DenoiseState, random=False),
    "initial": Case(make=_initial, state=PoissonState),
    "initial, conformations": Case(  # with a group conformations keep their frame: aligning them is most of a run
        make=lambda seed, threads: _initial(seed, threads, conformations=2, label_rounds=1, symmetry="C2"),
        state=PoissonState,
    ),
    "initial, gaussian": Case(make=_gaussian, state=GaussianState),
    "reconstruct, gmm": Case(make=_known, state=KnownPosesState),
    "reconstruct, art": Case(make=_art, state=ReconstructionState),
    "isac": Case(make=_isac, state=ISACState),
    "mra": Case(make=_mra, state=MRAState),
    "mra, equal groups": Case(make=lambda seed, threads: _mra(seed, threads, equal_groups=True), state=MRAState),
    "msa": Case(make=_msa, state=MSAState, random=False),
    "msa, many pixels": Case(make=lambda seed, threads: _msa(seed, threads, 100), state=MSAState),
    "stability": Case(make=_stability, state=StabilityRunState),
    "refine": Case(make=_refine, state=RefineState),
    "refine, imaging": Case(make=_refine_imaging, state=RefineState),
    "refine, frealign": Case(make=lambda seed, threads: _refine(seed, threads, "frealign"), state=RefineState),
    "mixture": Case(make=_fit, state=FitState),
    "mixture, gibbs": Case(make=_sampling, state=SamplingState),
}
