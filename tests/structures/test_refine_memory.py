"""The memory of a refinement: what is planned fits, or is refused. Arithmetic alone."""

import numpy as np
import pytest

from vitreous.matching import ImagePreparation
from vitreous.structures import Poses
from vitreous.structures.refine import Refine, prepare_refinement
from vitreous.structures.refine.memory import folds_in_memory, peak_bytes, sums_bytes, tile_bytes, tiles_in_memory
from vitreous.testing import ArrayParticles
from vitreous.volumes import zero_volume_sums


@pytest.mark.parametrize(("box_px", "particles"), [(64, 5000), (128, 5000), (128, 10**6), (176, 20000), (256, 10**5)])
def test_what_is_planned_to_be_in_memory_fits_or_is_refused(box_px, particles):
    """At all rings that a box has, in 1 to 32 GB; 12 folds of 128 pixels in the 4 GB that a job is given."""
    preparation = ImagePreparation.for_box(box_px, 2.5)
    basis = preparation.working_basis(1 << 20)
    images, rings = 4 * basis.packed_size * particles, basis.rings
    for memory in (1 << 30, 4 << 30, 8 << 30, 32 << 30):
        held = images if images < memory / 4 else 0
        folds = folds_in_memory(12, rings, held, memory)
        assert folds == 0 or (folds % 2 == 0 and folds >= 4 and peak_bytes(folds, rings, held, memory) <= memory)
        assert folds == 12 or peak_bytes(folds + 2 if folds else 4, rings, held, memory) > memory
        if memory == 4 << 30 and box_px == 128:
            assert folds == 12
    # Sums of a fold: what is reserved for them.
    sums = zero_volume_sums(14)
    assert sums_bytes(14) == sums.numerator.nbytes + sums.denominator.nbytes


def test_tiles_ahead_are_as_many_as_the_memory_holds():
    one = tile_bytes(256, 5757)  # 63 rings: 88 MB
    assert [tiles_in_memory(64, one, memory << 30) for memory in (1, 4, 64)] == [1, 3, 48]


def test_where_four_folds_do_not_fit_at_all_rings_fewer_are_used():
    """128 pixels have 63 rings of 105 MB a fold; 2 GB hold four folds on fewer, 32 GB twelve on all."""
    particles = ArrayParticles(images=np.zeros((30, 128, 128), np.float32), pixel_size_A=2.5)
    poses = Poses.unknown(30)
    small = prepare_refinement(particles, Refine(), poses=poses, memory_bytes=2 << 30)
    assert small.fold_count == 4
    assert 24 <= small.most_rings < 63
    assert small.memory_limit_A == pytest.approx(small.window_A / small.most_rings)
    large = prepare_refinement(particles, Refine(), poses=poses, memory_bytes=32 << 30)
    assert (large.fold_count, large.most_rings, large.memory_limit_A) == (12, 63, None)
    coarse = prepare_refinement(particles, Refine(resolution_limit_A=10.0), poses=poses, memory_bytes=2 << 30)
    assert (coarse.fold_count, coarse.memory_limit_A) == (12, None)
