"""Whether particles of known poses have the point group that is imposed on their map."""

from collections.abc import Callable

import numpy as np

from vitreous.matching import ImagePreparation, prepare_particles
from vitreous.optics import CTFParameters
from vitreous.rotations import symmetry_matrices
from vitreous.structures.copies import coarsest_detail
from vitreous.structures.refine.images import point_images
from vitreous.structures.refine.insertion import insert
from vitreous.volumes import RingPoints, copies_agreement, zero_volume_sums

__all__ = ["agreement_of_copies"]

ENOUGH = 1000  # particles that are looked at
ELEMENTS_ACROSS = 8  # resolution elements across the diameter up to which they are


def agreement_of_copies(
    read: Callable[[np.ndarray], np.ndarray],
    preparation: ImagePreparation,
    ctf: CTFParameters | None,
    rotations: np.ndarray,
    origins_A: np.ndarray,
    usable: np.ndarray,
    symmetry: str,
    *,
    threads: int = 1,
) -> float:
    """How well up to a thousand particles of known poses (rows ``usable``) agree with their copies under a group.

    At an eighth of the diameter; a few CPU seconds.
    """
    index = usable[:: max(1, -(-len(usable) // ENOUGH))]
    full = preparation.working_basis(1 << 20)
    across = full.window_px * preparation.box_px * preparation.pixel_size_A / full.box_px
    rings = min(full.rings, max(1, int(ELEMENTS_ACROSS * across / preparation.particle_diameter_A)))
    data = prepare_particles(
        lambda rows: read(index[rows]),
        len(index),
        preparation,
        rings=rings,
        ctf=None if ctf is None else ctf.take(index),
        threads=threads,
    )
    points = RingPoints(basis=data.basis.truncated(rings))
    good = np.flatnonzero(~data.bad)
    halves = []
    for rows in (good[0::2], good[1::2]):
        sums = zero_volume_sums(rings)
        images = point_images(data, rows, points, data.group_power)
        insert(sums, images, rotations[index[rows]][:, None], origins_A[index[rows]][:, None])
        halves.append(sums)
    first = coarsest_detail(points.basis, preparation.particle_diameter_A / data.pixel_size_A)
    return copies_agreement(halves[0], halves[1], symmetry_matrices(symmetry), first=first)
