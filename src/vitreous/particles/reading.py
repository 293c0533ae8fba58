"""One way in: STAR files, cryoSPARC files and bare stacks become a :class:`ParticleSet`."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np

from vitreous.particles.cryosparc import read_cryosparc
from vitreous.particles.errors import ParticleFileError, require_file
from vitreous.particles.foreign import refuse_foreign
from vitreous.particles.images import STACK_SUFFIXES, image_name
from vitreous.particles.mrc import open_stack
from vitreous.particles.optics_groups import group_index, synthesise_optics
from vitreous.particles.particle_set import PHASE_FLIPPED, PREMULTIPLIED, ParticleSet, assemble
from vitreous.particles.star import read_star
from vitreous.particles.table import Table

__all__ = ["Given", "read_particles"]

Given = TypeVar("Given", Path, ParticleSet)  # what names particles: a file, or the set itself
_APPLIED = ("none", "phases", "full")


def read_particles(
    path: str | Path | ParticleSet,
    *,
    project: str | Path | None = None,
    passthrough: Sequence[str | Path] = (),
    pixel_size_A: float | None = None,
    ctf_applied: str | None = None,
    alignment: Literal["2D", "3D"] | None = None,
) -> ParticleSet:
    """Read a ``.star``, a cryoSPARC ``.cs`` (with its passthrough files) or a bare ``.mrcs`` stack.

    Image names are looked for as :func:`vitreous.particles.search_folders` says; ``project`` is the directory in
    which RELION or cryoSPARC ran. ``pixel_size_A`` overrules what the file says, and so does ``ctf_applied``: "none"
    for images as they were recorded, "phases" where they were flipped, "full" where images were multiplied by it.
    ``alignment``: which one of a cryoSPARC file that has both gives class, angles and shifts (None: that in 3D).
    Images are not touched yet. A particle set is given back, with what is stated here.

    Raises FileNotFoundError, or ParticleFileError naming file and line: not such a file, a directory, an empty table,
    a missing column, an unknown optics group.
    """
    if pixel_size_A is not None and not (np.isfinite(pixel_size_A) and pixel_size_A > 0):
        raise ValueError(f"pixel_size_A: expected a positive number, in Angstrom, found {pixel_size_A:g}")
    found = path if isinstance(path, ParticleSet) else _from_file(path, project, passthrough, alignment)
    stated: dict[str, float] = {} if pixel_size_A is None else {"rlnImagePixelSize": float(pixel_size_A)}
    if ctf_applied is not None:
        if ctf_applied not in _APPLIED:
            raise ValueError(f"ctf_applied: expected one of {', '.join(_APPLIED)}, found {ctf_applied!r}")
        stated |= {PHASE_FLIPPED: ctf_applied == "phases", PREMULTIPLIED: ctf_applied == "full"}
    return _with_optics(found, stated) if stated else found


def _from_file(
    path: str | Path,
    project: str | Path | None,
    passthrough: Sequence[str | Path],
    alignment: Literal["2D", "3D"] | None,
) -> ParticleSet:
    path = require_file(path, "particles: a .star, .cs or .mrcs file")
    project = None if project is None else Path(project)
    suffix = path.suffix.lower()
    if suffix not in (".cs", ".star", *STACK_SUFFIXES):
        refuse_foreign(path)
    if passthrough and suffix != ".cs":
        raise ValueError(f"{path}: passthrough files belong to a cryoSPARC .cs file")
    if suffix == ".cs":
        return _from_cryosparc(path, project, passthrough, alignment)
    return _from_stack(path, project) if suffix in STACK_SUFFIXES else _from_star(path, project)


def _from_star(path: Path, project: Path | None) -> ParticleSet:
    blocks = read_star(path)
    block = _particle_block(path, blocks)
    table = blocks[block]
    if len(table) == 0:
        raise ParticleFileError(f"{path}: the table data_{block} is empty; expected one row per particle")
    if "optics" in blocks:
        optics, group = blocks["optics"], group_index(table, blocks["optics"])
    else:
        optics, group = synthesise_optics(table)
    return assemble(
        path=path,
        project=project,
        table=table,
        optics=optics,
        optics_group=group,
        blocks={name: b for name, b in blocks.items() if name not in (block, "optics")},
        layout=tuple(blocks),
        block=block,
    )


def _particle_block(path: Path, blocks: dict[str, Table]) -> str:
    """The block with the particles: ``data_particles``, else the first with image names (RELION 3.0: any name)."""
    if "particles" in blocks:
        return "particles"
    for name, table in blocks.items():
        if table.loop and "rlnImageName" in table:
            return name
    found = ", ".join(f"data_{name}" for name in blocks)
    raise ParticleFileError(f"{path}: no particles: no block has the column rlnImageName; blocks are {found}")


def _from_cryosparc(
    path: Path, project: Path | None, passthrough: Sequence[str | Path], alignment: Literal["2D", "3D"] | None
) -> ParticleSet:
    table, optics, notes = read_cryosparc(path, passthrough=passthrough, alignment=alignment)
    return assemble(
        path=path,
        project=project,
        table=table,
        optics=optics,
        optics_group=group_index(table, optics),
        blocks={},
        layout=("optics", "particles"),
        block="particles",
        notes=notes,
    )


def _from_stack(path: Path, project: Path | None) -> ParticleSet:
    stack = open_stack(path)
    if stack.header.is_volume:
        side = stack.box_px
        raise ParticleFileError(
            f"{path}: a map of {side} x {side} x {side} voxels by its header; expected a stack of images"
        )
    file = str(path)
    if project is not None and path.absolute().is_relative_to(project.absolute()):
        file = str(path.absolute().relative_to(project.absolute()))
    optics: dict[str, list[Any]] = {
        "rlnOpticsGroupName": ["opticsGroup1"],
        "rlnOpticsGroup": [1],
        "rlnImageSize": [stack.box_px],
    }
    if stack.header.pixel_size_A > 0:
        optics["rlnImagePixelSize"] = [stack.header.pixel_size_A]
    names = [image_name(i, file) for i in range(len(stack))]
    return assemble(
        path=path,
        project=project,
        table=replace(Table.from_arrays({"rlnImageName": names, "rlnOpticsGroup": [1] * len(stack)}), path=path),
        optics=Table.from_arrays(optics | {"rlnImageDimensionality": [2]}),
        optics_group=np.zeros(len(stack), dtype=np.int64),
        blocks={},
        layout=("optics", "particles"),
        block="particles",
    )


def _with_optics(particles: ParticleSet, stated: Mapping[str, float]) -> ParticleSet:
    """State something in the optics table; a RELION 3.0 file becomes a 3.1 file, which has such a table."""
    optics = particles.optics.with_columns(stated)
    table = particles.table.without(stated)
    if "optics" in particles.layout:
        return replace(particles, optics=optics, table=table, usable=None)
    numbers = optics["rlnOpticsGroup"][particles.optics_group]
    layout = ("optics", *("particles" if name == particles.block else name for name in particles.layout))
    table = table.with_columns({"rlnOpticsGroup": numbers})
    return replace(particles, optics=optics, table=table, layout=layout, block="particles")
