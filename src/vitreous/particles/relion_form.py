"""Particle sets in the form that RELION 3.1 and later read, whatever form they were read in."""

from contextlib import suppress
from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from vitreous.particles.errors import ParticleFileError
from vitreous.particles.images import file_of
from vitreous.particles.particle_set import ParticleSet
from vitreous.particles.table import Table

__all__ = ["complete_optics", "in_relion_form"]

_NOT_STACKS = (".mrc", ".map")  # RELION takes such a file for one image, unless ":mrcs" stands behind its name


def in_relion_form(particles: ParticleSet, **columns: ArrayLike) -> ParticleSet:
    """The set with further columns, as RELION 3.1 wants it to be written.

    There is an optics table with box, pixel size and dimension (:func:`complete_optics`), every particle names its
    group, and a stack whose name does not end on ``.mrcs`` has that as its format behind a colon. Shifts are in
    Angstrom; those of RELION 3.0, in pixels, follow them, so that the two do not contradict each other.
    """
    table, others = particles.table, [b for b in particles.layout if b not in ("optics", "particles", particles.block)]
    added = dict(columns)
    if "rlnOpticsGroup" not in table:
        added["rlnOpticsGroup"] = particles.optics["rlnOpticsGroup"][particles.optics_group]
    for axis in "XY":
        in_px, in_A = f"rlnOrigin{axis}", f"rlnOrigin{axis}Angst"
        if in_px not in table:
            continue
        if in_A in added:
            added[in_px] = np.asarray(added[in_A]) / particles.pixel_size_A
        elif in_A not in table:
            added[in_A] = table.numbers(in_px) * particles.pixel_size_A
    if (names := _names_of_stacks(particles)) is not None:
        added.setdefault("rlnImageName", names)
    shaped = replace(
        particles,
        layout=("optics", "particles", *others),
        block="particles",
        optics=complete_optics(particles),
        table=table.with_columns({k: v for k, v in added.items() if k != "rlnImageName"}),
    )
    return shaped.with_columns(rlnImageName=added["rlnImageName"]) if "rlnImageName" in added else shaped


def complete_optics(particles: ParticleSet) -> Table:
    """The optics table with what RELION asks of every group, as far as it is known: box, pixel size, dimension."""
    found: dict[str, ArrayLike] = {}
    groups = len(particles.optics)
    with suppress(ParticleFileError, OSError):
        found["rlnImagePixelSize"] = np.full(groups, particles.pixel_size_A)
    with suppress(ParticleFileError, OSError):
        found["rlnImageSize"] = np.full(groups, particles.box_px)
    found["rlnImageDimensionality"] = np.full(groups, 2)
    return particles.optics.with_columns({k: v for k, v in found.items() if k not in particles.optics})


def _names_of_stacks(particles: ParticleSet) -> np.ndarray | None:
    """All image names, where there are some that RELION would not take for stacks; else None."""
    images = particles.images
    unclear = [
        code for code, name in enumerate(images.names) if file_of(name) == name and name.lower().endswith(_NOT_STACKS)
    ]
    rows = np.flatnonzero(np.isin(images.code, unclear))
    names = particles.table.text("rlnImageName")
    rows = np.array([row for row in rows.tolist() if "@" in names[row]], dtype=np.int64)
    if len(rows) == 0:
        return None
    names[rows] += ":mrcs"
    return names
