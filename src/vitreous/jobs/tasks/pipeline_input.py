"""What ``run`` is given, and its settings."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from vitreous.jobs.report.pipeline import STAGES
from vitreous.jobs.sources import CTFApplied
from vitreous.jobs.tasks import initial
from vitreous.jobs.tasks.initial import Settings as InitialSettings
from vitreous.require import require, require_at_least, require_finite, require_one_of, require_positive
from vitreous.structures.abinitio import AUTO

__all__ = [
    "ABINITIO",
    "CLASS2D",
    "DECONVOLVE",
    "INITIAL",
    "ISAC2D",
    "METHODS",
    "REFINE",
    "ParticlesToModel",
    "Pipeline",
]

CLASS2D, ISAC2D, DECONVOLVE, INITIAL, ABINITIO, REFINE = STAGES
METHODS = initial.TASK.methods


@dataclass(frozen=True, kw_only=True)
class Pipeline:
    """Settings of :func:`vitreous.run_pipeline`; everything else has the defaults of its stage.

    Parameters
    ----------
    method
        Where the first model comes from. abinitio: from the particles of the selected classes. gmm: from averages that
        are deconvolved first, as a mixture of Gaussians. gmm-gaussian: from the averages as the classification leaves
        them, by a model for negative pixels.
    check
        Whether a model from particles is compared with one from averages (gmm), which knows nothing of it.
    refine
        Whether the model is refined. Otherwise it is what comes out.
    averages
        Where the averages come from. class2d: a classification of all particles, whose good classes are used. isac:
        iterative stable alignment and clustering; what it accepts is used.
    classes
        Number of class averages of class2d.
    img_per_grp
        Images per group of isac.
    particle_diameter_A
        Diameter of the circular mask on the images. None: from the box. With micrographs, the diameter of the particle,
        to find them by; the boxes follow from it. None: a guess.
    offset_range_A
        Farthest distance of a particle from the centre of its box, in Angstrom, for classes and the model from
        particles. None: what each of them takes; for picks of this run an eighth of their diameter.
    invert_contrast
        For particles that are dark on a bright background; with micrographs, for white ones.
    auto
        Whether the classes of class2d are chosen by what they explain of their particles, as ``vitreous select --auto``
        does. Otherwise min_share and worst_resolution_A decide alone.
    min_share
        A class is used only when it has at least this share of the number of particles of an average class.
    worst_resolution_A
        And only when its resolution is this or better. None: whatever it is.
    symmetry
        Point group of the particle: C1, Cn, Dn, T, O or I; auto: the one that the model from particles has. The model
        from averages is then made without one.
    restarts
        Random starts of the model from averages.
    starts
        Random starts of the model from particles.
    seed
        Of everything random.
    initial
        In Python: settings of the model from averages, of which symmetry, restarts and seed are overruled.
    """

    method: Literal["abinitio", "gmm", "gmm-gaussian"] = "abinitio"
    check: bool = True
    refine: bool = True
    averages: Literal["class2d", "isac"] = "class2d"
    classes: int = 50
    img_per_grp: int = 100
    particle_diameter_A: float | None = None
    offset_range_A: float | None = None
    invert_contrast: bool = False
    auto: bool = True
    min_share: float = 0.0
    worst_resolution_A: float | None = None
    symmetry: str = "C1"
    restarts: int = 4
    starts: int = 3
    seed: int = 0
    initial: InitialSettings | None = None

    def __post_init__(self) -> None:
        require_finite(self)
        require_one_of(self, "method", ("abinitio", *METHODS))
        require_one_of(self, "averages", (CLASS2D, ISAC2D))
        require_at_least(self, {"classes": 1, "img_per_grp": 2, "restarts": 1, "starts": 1})
        require_positive(self, ("particle_diameter_A", "offset_range_A", "worst_resolution_A"))
        require(self, "min_share", 0 <= self.min_share <= 1, "a number from 0 to 1")
        named = self.symmetry != AUTO or self.method == "abinitio"
        require(self, "symmetry", named, f"a point group, unless the method is abinitio, for the method {self.method}")
        kind = METHODS[self.of_averages]
        fits = self.initial is None or type(self.initial) is kind
        require(self, "initial", fits, f"{kind.__name__} for the method {self.method}")

    @property
    def of_averages(self) -> str:
        """Method of the model from averages."""
        return "gmm" if self.method == "abinitio" else self.method

    @property
    def stages(self) -> tuple[str, ...]:
        """Those that are run, in their order."""
        averages = self.check or self.method != "abinitio"
        wanted = {
            CLASS2D: self.averages == CLASS2D,
            ISAC2D: self.averages == ISAC2D,
            DECONVOLVE: averages and self.of_averages == "gmm",
            INITIAL: averages,
            ABINITIO: self.method == "abinitio",
            REFINE: self.refine,
        }
        return tuple(name for name in STAGES if wanted[name])


@dataclass(frozen=True, kw_only=True)
class ParticlesToModel:
    """Particles, or the micrographs that they are in, and a map that the result is compared with.

    Parameters
    ----------
    particles
        A .star file, a cryoSPARC .cs file or a bare .mrcs stack of particles; or micrographs: a folder of them, a
        .star list with their CTF, a pattern in quotes, or files (.mrc; .tif, .png and .jpg where Pillow is installed).
    project
        Directory that the paths in the particle file or the list are relative to.
    pixel_size_A
        Pixel size of the images or the micrographs in Angstrom, when the file does not say or is wrong.
    reference
        A map of the same particle (.mrc) that models and map are compared with in the end, over both hands. They do not
        depend on it.
    ctf_applied
        What has been done about the CTF of the images already, when the file does not say: nothing (none), their
        phases were flipped (phases), or they were multiplied by it (full).
    voltage_kV
        Of micrographs without CTF: acceleration voltage in kilovolts, by which the CTF is estimated, where their list
        does not say.
    cs_mm
        Their spherical aberration, in millimetres. None: what the list says, or 2.7.
    amplitude_contrast
        Their share of amplitude contrast, from 0 to 1. None: what the list says, or 0.1.
    """

    particles: tuple[Path, ...]
    project: Path | None = None
    pixel_size_A: float | None = None
    ctf_applied: CTFApplied | None = None
    reference: Path | None = None
    voltage_kV: float | None = None
    cs_mm: float | None = None
    amplitude_contrast: float | None = None
