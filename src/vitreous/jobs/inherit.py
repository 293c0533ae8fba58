"""What a later job takes over from the classification that wrote its particles."""

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Protocol, TypeVar

from vitreous.jobs.manifest import read_manifest

__all__ = ["classified_particles", "inherited"]

CLASSIFIED = "run_data.star"  # of a class2d folder


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


def classified_particles(particles: str | Path) -> Path:
    """The particle file; of the folder of a ``class2d`` job its ``run_data.star``."""
    return Path(particles) / CLASSIFIED if Path(particles).is_dir() else Path(particles)


def inherited(settings: S, path: Path) -> tuple[S, list[str]]:
    """Settings with what the ``class2d`` job that wrote the file says about its images, and a note on that."""
    manifest = read_manifest(path.parent)
    if manifest is None or manifest.task != "class2d":
        return settings, []
    before = manifest.settings
    known: dict[str, Any] = {
        "particle_diameter_A": settings.particle_diameter_A or manifest.summary.get("particle_diameter_used_A"),
        "invert_contrast": settings.invert_contrast or before.get("invert_contrast", False),
        "normalise": settings.normalise and before.get("normalise", True),
        "ctf": settings.ctf and before.get("ctf", True),
    }
    taken: S = replace(settings, **known)  # type: ignore[type-var]
    changed = [f"{name} {value}" for name, value in asdict(taken).items() if getattr(settings, name) != value]  # type: ignore[call-overload]
    return taken, [f"as in the classification: {', '.join(changed)}"] if changed else []
