"""What the functions of :mod:`vitreous.face.tasks` take and return."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vitreous.averages.align import Align, AlignResult
from vitreous.averages.class2d import Class2D
from vitreous.averages.deconvolve import Deconvolve, DeconvolveResult
from vitreous.averages.denoise import Denoise, DenoiseResult
from vitreous.averages.isac import ISAC, ISACResult
from vitreous.averages.model_bias import ModelBias, ModelBiasResult
from vitreous.averages.mra import MRA
from vitreous.averages.msa import MSA, MSAResult
from vitreous.averages.neighbours import Neighbours, NeighboursResult
from vitreous.averages.result import Class2DResult
from vitreous.averages.stability import StabilityResult, StabilityTest
from vitreous.face.result import Result
from vitreous.jobs.results.ctf import CTFFolder
from vitreous.jobs.results.extract import ExtractFolder
from vitreous.jobs.results.pick import PickFolder
from vitreous.jobs.results.project import ProjectFolder
from vitreous.jobs.tasks.postprocess import PostProcess
from vitreous.jobs.tasks.project import Project
from vitreous.micrographs import EstimateCTF, Extract, Pick
from vitreous.mixtures import GaussianInitialModel, InitialModel, KnownPoses, Mixture, MixtureFit, MixtureSampling
from vitreous.models import InitialModelResult
from vitreous.particles import ParticleSet, Volume
from vitreous.structures.abinitio import Abinitio, AbinitioResult
from vitreous.structures.class3d import Class3D, Class3DResult
from vitreous.structures.from_averages import FromAverages
from vitreous.structures.refine import Refine, RefineResult
from vitreous.volumes import PostProcessed
from vitreous.volumes.reconstruction import ReconstructionSettings

Given = str | Path | ParticleSet | Volume | np.ndarray | Result[Any] | Sequence[str | Path | Volume]

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
    settings: InitialModel | GaussianInitialModel | FromAverages | None = None,
    *,
    quiet: bool = False,
    **keywords: Any,
) -> Result[InitialModelResult[Mixture]]: ...
def isac(
    particles: Given, settings: ISAC | None = None, *, quiet: bool = False, **keywords: Any
) -> Result[ISACResult]: ...
def mixture(
    input: Given, settings: MixtureFit | MixtureSampling | None = None, *, quiet: bool = False, **keywords: Any
) -> Result[Any]: ...
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
    images: Given, settings: ReconstructionSettings | KnownPoses | None = None, *, quiet: bool = False, **keywords: Any
) -> Result[Any]: ...
def refine(
    particles: Given, settings: Refine | None = None, *, quiet: bool = False, **keywords: Any
) -> Result[RefineResult]: ...
def stability(
    classes: Given, settings: StabilityTest | None = None, *, quiet: bool = False, **keywords: Any
) -> Result[StabilityResult]: ...

neighbors = neighbours
