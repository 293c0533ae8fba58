"""What the functions of :mod:`vitreous.face.tasks` take and return, written by :mod:`vitreous.face.stub`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vitreous.averages.align.result import AlignResult
from vitreous.averages.align.settings import Align
from vitreous.averages.class2d.settings import Class2D
from vitreous.averages.deconvolve.result import DeconvolveResult
from vitreous.averages.deconvolve.settings import Deconvolve
from vitreous.averages.denoise.result import DenoiseResult
from vitreous.averages.denoise.settings import Denoise
from vitreous.averages.isac.result import ISACResult
from vitreous.averages.isac.settings import ISAC
from vitreous.averages.model_bias.measure import ModelBiasResult
from vitreous.averages.model_bias.settings import ModelBias
from vitreous.averages.mra.settings import MRA
from vitreous.averages.msa.result import MSAResult
from vitreous.averages.msa.settings import MSA
from vitreous.averages.neighbours.result import NeighboursResult
from vitreous.averages.neighbours.settings import Neighbours
from vitreous.averages.result import Class2DResult
from vitreous.averages.stability.result import StabilityResult
from vitreous.averages.stability.settings import StabilityTest
from vitreous.face.result import Result
from vitreous.jobs.results.ctf import CTFFolder
from vitreous.jobs.results.extract import ExtractFolder
from vitreous.jobs.results.pick import PickFolder
from vitreous.jobs.results.project import ProjectFolder
from vitreous.jobs.tasks.postprocess import PostProcess
from vitreous.jobs.tasks.project import Project
from vitreous.micrographs.ctf_settings import EstimateCTF
from vitreous.micrographs.settings import Extract, Pick
from vitreous.mixtures.fit.sample import MixtureSamples
from vitreous.mixtures.fit.settings import MixtureFit, MixtureSampling
from vitreous.mixtures.gaussian_noise.settings import GaussianInitialModel
from vitreous.mixtures.known.settings import KnownPoses
from vitreous.mixtures.model import Mixture
from vitreous.mixtures.poisson_poses.settings import InitialModel
from vitreous.models.initial_model import InitialModelResult
from vitreous.particles import ParticleSet, Volume
from vitreous.structures.abinitio.result import AbinitioResult
from vitreous.structures.abinitio.settings import Abinitio
from vitreous.structures.class3d.result import Class3DResult
from vitreous.structures.class3d.settings import Class3D
from vitreous.structures.from_averages.settings import (
    AllMethods,
    ClusteredLines,
    CommonLines,
    ProjectionMatching,
    QuasiNewton,
    Ransac,
    Significant,
    Stochastic,
)
from vitreous.structures.refine.result import RefineResult
from vitreous.structures.refine.settings import Refine
from vitreous.volumes.postprocess import PostProcessed
from vitreous.volumes.reconstruction.settings import ART, Gridding, LeastSquares, WeightedBackProjection

Given = str | Path | ParticleSet | Volume | np.ndarray | Result[Any] | Sequence[str | Path | Volume | np.ndarray]

NAMES: dict[str, str]

def abinitio(
    particles: Given, settings: Abinitio | None = None, *, quiet: bool = False, **keywords: Any
) -> Result[AbinitioResult]: ...
def align(
    particles: Given, settings: Align | None = None, *, quiet: bool = False, **keywords: Any
) -> Result[AlignResult]: ...
def class2d(
    particles: Given, settings: Class2D | None = None, *, quiet: bool = False, **keywords: Any
) -> Result[Class2DResult]: ...
def class3d(
    particles: Given, settings: Class3D | None = None, *, quiet: bool = False, **keywords: Any
) -> Result[Class3DResult]: ...
def ctf(
    micrographs: Given, settings: EstimateCTF | None = None, *, quiet: bool = False, **keywords: Any
) -> Result[CTFFolder]: ...
def deconvolve(
    particles: Given, settings: Deconvolve | None = None, *, quiet: bool = False, **keywords: Any
) -> Result[DeconvolveResult]: ...
def denoise(
    particles: Given, settings: Denoise | None = None, *, quiet: bool = False, **keywords: Any
) -> Result[DenoiseResult]: ...
def extract(
    picks: Given, settings: Extract | None = None, *, quiet: bool = False, **keywords: Any
) -> Result[ExtractFolder]: ...
def initial_model(
    averages: Given,
    settings: InitialModel
    | GaussianInitialModel
    | CommonLines
    | ProjectionMatching
    | Significant
    | Stochastic
    | Ransac
    | ClusteredLines
    | QuasiNewton
    | AllMethods
    | None = None,
    *,
    quiet: bool = False,
    **keywords: Any,
) -> Result[InitialModelResult[Mixture]]: ...
def isac(
    particles: Given, settings: ISAC | None = None, *, quiet: bool = False, **keywords: Any
) -> Result[ISACResult]: ...
def mixture(
    input: Given, settings: MixtureFit | MixtureSampling | None = None, *, quiet: bool = False, **keywords: Any
) -> Result[Mixture | MixtureSamples]: ...
def model_bias(
    reference: Given, settings: ModelBias | None = None, *, quiet: bool = False, **keywords: Any
) -> Result[ModelBiasResult]: ...
def mra(
    particles: Given, settings: MRA | None = None, *, quiet: bool = False, **keywords: Any
) -> Result[Class2DResult]: ...
def msa(
    particles: Given, settings: MSA | None = None, *, quiet: bool = False, **keywords: Any
) -> Result[MSAResult]: ...
def neighbours(
    particles: Given, settings: Neighbours | None = None, *, quiet: bool = False, **keywords: Any
) -> Result[NeighboursResult]: ...
def pick(
    micrographs: Given, settings: Pick | None = None, *, quiet: bool = False, **keywords: Any
) -> Result[PickFolder]: ...
def postprocess(
    half_maps: Given, settings: PostProcess | None = None, *, quiet: bool = False, **keywords: Any
) -> Result[PostProcessed]: ...
def project(
    map: Given, settings: Project | None = None, *, quiet: bool = False, **keywords: Any
) -> Result[ProjectFolder]: ...
def reconstruct(
    images: Given,
    settings: Gridding | WeightedBackProjection | ART | LeastSquares | KnownPoses | None = None,
    *,
    quiet: bool = False,
    **keywords: Any,
) -> Result[Any]: ...
def refine(
    particles: Given, settings: Refine | None = None, *, quiet: bool = False, **keywords: Any
) -> Result[RefineResult]: ...
def stability(
    classes: Given, settings: StabilityTest | None = None, *, quiet: bool = False, **keywords: Any
) -> Result[StabilityResult]: ...

neighbors = neighbours
