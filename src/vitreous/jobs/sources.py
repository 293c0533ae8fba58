"""What jobs are given. A source is a frozen dataclass: its fields and their words in the docstring become options.

The first field is the main input. The others are recorded in ``job.json`` where they are given and change the result.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar

import numpy as np

from vitreous.jobs.folder import JobFolderError
from vitreous.jobs.manifest import read_manifest
from vitreous.jobs.results.class2d import CLASSIFICATIONS
from vitreous.particles import Contrast, Given, ParticleSet, judged, open_stack, read_particles

__all__ = [
    "CTFApplied",
    "Particles",
    "classified",
    "file_in_folder",
    "inherited",
    "light_on_dark",
    "one_image",
    "require_signal",
    "require_within_box",
    "warnings_before",
]

CTFApplied = Literal["none", "phases", "full"]
CLASSIFIED = "run_data.star"  # of a class2d folder
ACCOUNTED = "accounted.star"  # of an isac folder: what is in its classes
INHERITED = (*CLASSIFICATIONS, "isac", "align", "msa")  # jobs whose particles go on with the settings of their images
RESOLUTIONS = ("resolution_limit_A", "initial_lowpass_A")  # of settings, in Angstrom


@dataclass(frozen=True, kw_only=True)
class Particles:
    """A particle file.

    Parameters
    ----------
    particles
        A .star file, a cryoSPARC .cs file or a bare .mrcs stack.
    project
        Directory that the paths in the particle file are relative to.
    passthrough
        Passthrough files of a cryoSPARC .cs file.
    pixel_size_A
        Pixel size of the images in Angstrom, when the file does not say or is wrong.
    ctf_applied
        What has been done about the CTF of the images already, when the file does not say: nothing (none), their
        phases were flipped (phases), or they were multiplied by it (full).
    """

    particles: Path
    project: Path | None = None
    passthrough: tuple[Path, ...] = ()
    pixel_size_A: float | None = None
    ctf_applied: CTFApplied | None = None

    def open(
        self, *, ctf: bool = True, poses: bool = True, alignment: Literal["2D", "3D"] | None = None
    ) -> ParticleSet:
        """The particles, judged: what cannot be used of them has no weight in any method.

        ctf: whether the job looks at the CTF; poses: whether at the angles and shifts of the file; alignment: at
        which ones, where a cryoSPARC file has several (None: those in 3D). Raises what
        :func:`vitreous.particles.read_particles` and :func:`vitreous.particles.judged` do.
        """
        return judged(self.read(alignment=alignment), ctf=ctf, poses=poses)

    def read(self, *, alignment: Literal["2D", "3D"] | None = None) -> ParticleSet:
        """The particles as the file has them, for a job to which no particle is too bad."""
        return read_particles(
            self.particles,
            project=self.project,
            passthrough=self.passthrough,
            pixel_size_A=self.pixel_size_A,
            ctf_applied=self.ctf_applied,
            alignment=alignment,
        )


def one_image(path: Path) -> np.ndarray:
    """The first image (L, L) of an image or a stack. ValueError for a map, whose first section is no picture of it."""
    stack = open_stack(path)
    if stack.header.is_volume and path.suffix.lower() != ".mrcs":
        raise ValueError(
            f"{path} is a map of {stack.header.nx}³ voxels; expected an image (.mrc or .mrcs): `vitreous project` "
            "makes images of a map"
        )
    return stack.read(np.arange(1))[0]


def file_in_folder(path: Given, names: tuple[str, ...], instead: str) -> Given | Path:
    """Particles and files as they are; of the folder of a job the first that it has of the files ``names``.

    Raises JobFolderError for a folder with none of them; ``instead`` says what to give.
    """
    if isinstance(path, ParticleSet) or not path.is_dir():
        return path
    found = next((path / name for name in names if (path / name).is_file()), None)
    if found is None:
        raise JobFolderError(f"{path} has none of {', '.join(names)}: give {instead}")
    return found


def require_within_box(settings: object, particles: ParticleSet) -> None:
    """ValueError for a resolution of the settings that is coarser than the box: no wave of an image is that long."""
    side_A = particles.box_px * particles.pixel_size_A
    for name in RESOLUTIONS:
        value = getattr(settings, name, None)
        if value is not None and value > side_A:
            raise ValueError(f"{name}: expected at most the side of the box, {side_A:.0f} A, found {value:g}")


class _ImageSettings(Protocol):
    """Settings that say what the images are."""

    @property
    def particle_diameter_A(self) -> float | None: ...
    @property
    def ctf(self) -> bool: ...
    @property
    def invert_contrast(self) -> bool: ...
    @property
    def normalise(self) -> bool: ...


S = TypeVar("S", bound=_ImageSettings)


class _Invertible(Protocol):
    """Settings that say whether images are turned over."""

    @property
    def invert_contrast(self) -> bool: ...


V = TypeVar("V", bound=_Invertible)


def classified(particles: Given) -> Given | Path:
    """The particle file; in the folder of a ``class2d`` job its ``run_data.star``, of ``isac`` those accepted."""
    if isinstance(particles, ParticleSet) or not particles.is_dir():
        return particles
    accounted = particles / ACCOUNTED
    return accounted if accounted.is_file() else particles / CLASSIFIED


def inherited(settings: S, particles: Path | ParticleSet) -> tuple[S, tuple[str, ...]]:
    """Settings with what the classification that wrote the file says of its images, and a note on that."""
    manifest = read_manifest(_path(particles).parent)
    if manifest is None or manifest.task not in INHERITED:
        return settings, ()
    before = manifest.settings
    known: dict[str, Any] = {
        "particle_diameter_A": settings.particle_diameter_A or manifest.summary.get("particle_diameter_used_A"),
        "invert_contrast": settings.invert_contrast or before.get("invert_contrast", False),
        "normalise": settings.normalise and before.get("normalise", True),
        "ctf": settings.ctf and before.get("ctf", True),
    }
    taken: S = replace(settings, **known)  # type: ignore[type-var]
    after: dict[str, Any] = vars(taken)
    changed = [f"{name} {_shown(value)}" for name, value in after.items() if getattr(settings, name) != value]
    return taken, (f"as in the classification: {', '.join(changed)}",) if changed else ()


def _shown(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _path(particles: Path | ParticleSet) -> Path:
    return particles.path if isinstance(particles, ParticleSet) else particles


def require_signal(particles: Path | ParticleSet) -> None:
    """ValueError for a file of a classification that has found nothing: its classes are aligned noise."""
    path = _path(particles)
    manifest = read_manifest(path.parent)
    found_none = manifest is not None and manifest.summary.get("found_signal") is False
    if manifest is not None and manifest.task in INHERITED and found_none:
        raise ValueError(
            f"{path.parent} is a classification that found nothing: its classes are aligned noise, and so would be "
            "everything that is made from them; look at its report (contrast, particle diameter, CTF)"
        )


def light_on_dark(contrast: Contrast | None, settings: V) -> tuple[V, tuple[str, ...]]:
    """The settings of a method whose images are nowhere negative, with the contrast that the particles clearly have.

    Such a method makes a model of what is around particles that are dark. They are turned over, and that is said.
    """
    if contrast is None or contrast.verdict != "dark" or settings.invert_contrast:
        return settings, ()
    text = (
        f"particles are dark on light ({contrast.difference:+.3f} +- {contrast.standard_error:.3f} standard deviations "
        "of the background) and were turned over, as with --invert-contrast"
    )
    turned: V = replace(settings, invert_contrast=True)  # type: ignore[type-var]
    return turned, (text,)


def warnings_before(particles: ParticleSet, *, invert_contrast: bool) -> tuple[str, ...]:
    """What looks wrong with particles that have been judged: the set, its contrast, and every particle left out."""
    usable = particles.usable
    if usable is None:
        return ()
    found = [text for text in usable.warnings if "dark on light" not in text]
    verdict = usable.contrast.verdict if usable.contrast is not None else "unclear"
    if verdict == "dark" and not invert_contrast:
        found.append("particles seem to be dark on light; --invert-contrast makes them white")
    if verdict == "white" and invert_contrast:
        found.append("particles seem to be white already, and --invert-contrast makes them dark")
    return (*found, *usable.words)
