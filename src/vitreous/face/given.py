"""What a call may be given in the place of a file, as the source of a job takes it."""

from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from vitreous.face.result import Result
from vitreous.jobs.in_memory import session_folder
from vitreous.particles import ParticleSet, Volume, from_arrays, read_particles, write_mrc_stack, write_volume

__all__ = ["as_source", "with_poses_of"]

OF_FILES = frozenset({"particles", "images", "averages", "classes", "map", "reference", "mask", "input", "poses"})
OF_SEVERAL = frozenset({"half_maps", "picks", "micrographs", "passthrough", "reference"})
OF_MAPS = frozenset({"map", "reference", "mask", "input", "half_maps", "templates"})  # fields of sources
_number = count(1)


def as_source(name: str, value: Any, *, pixel_size_A: float | None) -> Any:
    """A value for the field ``name`` of a source: names of files as paths, arrays and maps as files, sets as they are.

    The result of a job stands for its folder. Raises TypeError, and ValueError for an array without a pixel size.
    """
    if isinstance(value, str):
        return Path(value)
    if isinstance(value, Result):
        return _map_file(value) if name in ("reference", "input") else value.folder
    if isinstance(value, Volume):
        path = session_folder() / f"map-{next(_number)}.mrc"
        write_volume(path, value)
        return path
    if hasattr(value, "__array__") or hasattr(value, "detach"):
        return _from_array(name, value, pixel_size_A)
    if (
        isinstance(value, Sequence)
        and name in OF_FILES - OF_SEVERAL
        and value
        and all(hasattr(one, "__array__") for one in value)
    ):
        return _from_array(name, np.stack([np.asarray(one) for one in value]), pixel_size_A)
    if isinstance(value, Sequence) and name in OF_SEVERAL:
        return tuple(as_source(name, one, pixel_size_A=pixel_size_A) for one in value)
    if name in OF_FILES and not isinstance(value, Path | ParticleSet | None):
        hint = "; files of particles are given one by one" if isinstance(value, list | tuple) else ""
        raise TypeError(
            f"{name}: expected a ParticleSet, an array, a result or the name of a file, found {type(value).__name__}"
            f"{hint}"
        )
    return value


def with_poses_of(particles: ParticleSet, found: Any) -> ParticleSet:
    """The particles with classes and poses of a result, a folder or a file, and with its words on the images.

    Settings that a later job takes over from a classification, such as the diameter, are looked for beside its file.
    """
    if isinstance(found, str | Path):
        found = read_particles(found) if Path(found).is_file() else Result.load(found)
    posed = particles.with_alignments(found)
    return posed.beside(found.data_file) if isinstance(found, Result) else posed


def _from_array(name: str, value: Any, pixel_size_A: float | None) -> Any:
    array = np.asarray(value.detach().cpu() if hasattr(value, "detach") else value)
    if name not in OF_MAPS:
        if pixel_size_A is None:
            raise ValueError(f"{name}: an array has no pixel size; give pixel_size_A")
        return from_arrays(array, pixel_size_A)
    if name == "reference" and array.ndim == 2:
        path = session_folder() / f"image-{next(_number)}.mrcs"
        write_mrc_stack(path, array[None], pixel_size_A or 0.0)
        return path
    if pixel_size_A is None:
        raise ValueError(f"{name}: an array has no voxel size; give a vitreous.Volume, or pixel_size_A")
    return as_source(name, Volume(data=array, pixel_size_A=pixel_size_A), pixel_size_A=None)


def _map_file(result: Result[Any]) -> Path:
    maps = result.maps
    if not maps:
        raise TypeError(f"reference: expected a map, found the result of {result.task}, which has none")
    return as_source("reference", next(iter(maps.values())), pixel_size_A=None)
