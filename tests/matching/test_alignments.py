"""Alignments: the group law, the frames, the columns of a particle table."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vitreous.conventions import in_plane_matrix
from vitreous.matching import Alignments, class_numbers, dealt_in_turn
from vitreous.particles import Table
from vitreous.randomness import generator

SEEDS = st.integers(0, 2**32 - 1)


def random_alignments(seed: int, m: int = 6, purpose: str = "a", *, mirror: bool = True) -> Alignments:
    g = generator(seed, purpose)
    return Alignments(
        particle=np.arange(m),
        reference=g.integers(0, 3, m),
        psi_rad=g.uniform(-np.pi, np.pi, m),
        origin_A=g.normal(0, 20, (m, 2)),
        mirror=g.random(m) < 0.5 if mirror else np.zeros(m, bool),
    )


def places(seed: int, m: int = 6) -> np.ndarray:
    return generator(seed, "points").normal(0, 50, (m, 2))


@given(SEEDS)
def test_points_follow_the_convention(seed):
    a, r = random_alignments(seed), places(seed)
    for i in range(len(a)):
        there = in_plane_matrix(np.rad2deg(a.psi_rad[i])) @ (r[i] + a.origin_A[i])
        np.testing.assert_allclose(a.points(r)[i], there * ([-1, 1] if a.mirror[i] else [1, 1]), atol=1e-9)


@given(SEEDS)
def test_then_is_one_after_the_other_and_inverse_undoes_it(seed):
    a, b, r = random_alignments(seed), random_alignments(seed, purpose="b"), places(seed)
    np.testing.assert_allclose(a.then(b).points(r), b.points(a.points(r)), atol=1e-9)
    np.testing.assert_allclose(a.inverse().points(a.points(r)), r, atol=1e-9)
    np.testing.assert_allclose(a.points(a.inverse().points(r)), r, atol=1e-9)
    # What takes the references of a to those of b agrees with b on every point of the image.
    np.testing.assert_allclose(a.inverse().then(b).points(a.points(r)), b.points(r), atol=1e-9)


@given(SEEDS)
def test_shift_in_the_frame_of_the_reference_and_back(seed):
    a = random_alignments(seed, mirror=False)
    back = Alignments.from_shifts(a.particle, a.reference, a.psi_rad, a.shift_A)
    np.testing.assert_allclose(back.origin_A, a.origin_A, atol=1e-12)
    centre_of_image = a.points(np.zeros((len(a), 2)))
    np.testing.assert_allclose(centre_of_image, a.shift_A, atol=1e-12)


@given(SEEDS)
def test_recentred_moves_that_point_of_every_reference_to_its_centre(seed):
    a, centre = random_alignments(seed), generator(seed, "centres").normal(0, 9, (3, 2))
    r = places(seed)
    np.testing.assert_allclose(a.recentred(centre).points(r), a.points(r) - centre[a.reference], atol=1e-9)


def test_references_are_cut_out_and_counted_anew():
    a = random_alignments(1)
    part = a.of_references(1, 3)
    assert set(part.particle) == set(np.flatnonzero(a.reference >= 1))
    np.testing.assert_array_equal(part.reference, a.reference[part.particle] - 1)


def test_put_replaces_the_particles_that_are_new_and_leaves_the_old_value_alone():
    old = Alignments.unknown(9)
    new = random_alignments(2, m=9).take(np.array([7, 2]))
    both = old.put(new)
    np.testing.assert_array_equal(both.take(np.array([7, 2])).origin_A, new.origin_A)
    assert (both.reference[[0, 1, 3, 4, 5, 6, 8]] == -1).all()
    assert (old.reference == -1).all()
    assert not both.take(np.array([0])).known.any()
    assert both.take(np.array([7, 2])).known.all()


def test_columns_are_read_back_as_they_were(tmp_path):
    from vitreous.particles import read_particles, write_mrc_stack, write_star

    write_mrc_stack(tmp_path / "p.mrcs", np.zeros((6, 8, 8), np.float32), 1.5)
    a = random_alignments(5)
    names = [f"{i + 1:06d}@p.mrcs" for i in range(6)]
    for some in (a, random_alignments(5, mirror=False)):
        columns = some.columns()
        assert ("rlnIsFlip" in columns) == some.mirror.any()
        write_star(tmp_path / "p.star", {"particles": Table.from_arrays({"rlnImageName": names, **columns})})
        back = Alignments.from_particles(read_particles(tmp_path / "p.star"))
        np.testing.assert_array_equal(back.reference, some.reference)
        np.testing.assert_array_equal(back.mirror, some.mirror)
        np.testing.assert_allclose(back.psi_deg, some.psi_deg, atol=1e-4)
        np.testing.assert_allclose(back.origin_A, some.origin_A, atol=1e-4)


@pytest.mark.parametrize("angle", [-180.0, -179.9, 0.0, 179.9, 180.0, 540.0])
def test_degrees_lie_within_a_turn(angle):
    one = Alignments.unknown(1)
    found = Alignments(**{**vars(one), "psi_rad": np.deg2rad([angle])}).psi_deg[0]
    assert -180 <= found < 180
    assert (found - angle) % 360 == pytest.approx(0, abs=1e-9) or (found - angle) % 360 == pytest.approx(360)


def test_numbers_of_classes():
    rows = Table.from_arrays({"rlnClassNumber": np.array([2.0, np.nan, -1.0, 7.0])})
    assert class_numbers(rows, Path("p.star")).tolist() == [2, 0, 0, 7]
    for number in (1e9, 1.5):
        wrong = Table.from_arrays({"rlnClassNumber": np.array([1.0, number])})
        with pytest.raises(ValueError, match=r"p.star: particle 2 has the class .* expected a whole number"):
            class_numbers(wrong, Path("p.star"))


def test_halves_are_dealt_class_after_class():
    assert dealt_in_turn(np.array([1, 0, 1, 1, 0, 2])).tolist() == [0, 0, 1, 0, 1, 1]
