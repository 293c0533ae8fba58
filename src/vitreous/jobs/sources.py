"""What jobs are given. A source is a frozen dataclass: its fields and their words in the docstring become options.

The first field is the main input. The others are recorded in ``job.json`` where they are given and change the result.
"""

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Protocol, TypeVar

from vitreous.jobs.manifest import read_manifest
from vitreous.particles import CheckReport, ParticleSet, check_particles, read_particles

__all__ = ["Particles", "classified", "inherited", "warnings_before"]

CLASSIFIED = "run_data.star"  # of a class2d folder
LOOKED_AT = 400  # particles whose pixels are looked at before a run


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
    """

    particles: Path
    project: Path | None = None
    passthrough: tuple[Path, ...] = ()
    pixel_size_A: float | None = None

    def open(self) -> ParticleSet:
        """The particles; raises what :func:`vitreous.particles.read_particles` does."""
        return read_particles(
            self.particles, project=self.project, passthrough=self.passthrough, pixel_size_A=self.pixel_size_A
        )


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


def classified(particles: Path) -> Path:
    """The particle file; of the folder of a ``class2d`` job its ``run_data.star``."""
    return particles / CLASSIFIED if particles.is_dir() else particles


def inherited(settings: S, path: Path) -> tuple[S, tuple[str, ...]]:
    """Settings with what the ``class2d`` job that wrote the file says about its images, and a note on that."""
    manifest = read_manifest(path.parent)
    if manifest is None or manifest.task != "class2d":
        return settings, ()
    before = manifest.settings
    known: dict[str, Any] = {
        "particle_diameter_A": settings.particle_diameter_A or manifest.summary.get("particle_diameter_used_A"),
        "invert_contrast": settings.invert_contrast or before.get("invert_contrast", False),
        "normalise": settings.normalise and before.get("normalise", True),
        "ctf": settings.ctf and before.get("ctf", True),
    }
    taken: S = replace(settings, **known)  # type: ignore[type-var]
    changed = [f"{name} {value}" for name, value in asdict(taken).items() if getattr(settings, name) != value]  # type: ignore[call-overload]
    return taken, (f"as in the classification: {', '.join(changed)}",) if changed else ()


def warnings_before(particles: ParticleSet, *, invert_contrast: bool) -> tuple[str, ...]:
    """What looks wrong with the data, from the table, the headers and a sample of the images.

    Raises ValueError when a job could not run.
    """
    report = check_particles(particles, sample=LOOKED_AT)
    if report.problems:
        raise ValueError(_reason(report))
    found = [text for text in report.warnings if "dark on light" not in text]
    verdict = report.contrast.verdict if report.contrast is not None else "unclear"
    if verdict == "dark" and not invert_contrast:
        found.append("particles seem to be dark on light; --invert-contrast makes them white")
    if verdict == "white" and invert_contrast:
        found.append("particles seem to be white already, and --invert-contrast makes them dark")
    found += [f"{len(rows):,} particles {kind} (get no weight)" for kind, rows in report.bad.items() if rows]
    return tuple(found)


def _reason(report: CheckReport) -> str:
    """Why a job cannot run, with what was found in the image files when that is the reason."""
    if report.images_checked:
        return report.problems[0]
    faults = [f"{len(rows):,} particles {kind}" for kind, rows in report.bad.items() if rows]
    return f"{report.path}: {'; '.join([*report.problems[:1], *report.warnings[:1], *faults])}"
