"""Sets of alignments in register: a common motion vanishes, an error of one image is measured in pixels."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vitreous.alignment import register
from vitreous.matching import Alignments

RADIUS_A, N = 40.0, 30


def some(rng, n=N, mirror=True) -> Alignments:
    return Alignments(
        particle=np.arange(n),
        reference=np.zeros(n, int),
        psi_rad=rng.uniform(-np.pi, np.pi, n),
        origin_A=rng.normal(0, 5, (n, 2)),
        mirror=(rng.random(n) < 0.5) & mirror,
    )


def motion(rng, mirror: bool, n=N) -> Alignments:
    """One and the same for all images."""
    one = some(rng, 1).take(np.zeros(n, int))
    return replace(one, particle=np.arange(n), mirror=np.full(n, mirror))


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 999), flips=st.lists(st.booleans(), min_size=2, max_size=5))
def test_sets_that_differ_by_a_motion_agree(seed, flips):
    rng = np.random.default_rng(seed)
    base = some(rng)
    found = register([base.then(motion(rng, flip)) for flip in flips], RADIUS_A)
    assert found.mirror_stable.all()
    assert found.mean_error_A < 1e-6
    at = [own.points(np.full((N, 2), 7.0)) for own in found.sets]
    assert np.abs(at[0] - at[-1]).max() < 1e-6


def test_errors_are_displacements_over_the_disc():
    """One image of many turned by da and shifted by d: sqrt((1 - cos da) r^2 + d^2), also by points of the disc."""
    rng, n = np.random.default_rng(3), 400
    base, da, d = some(rng, n), 0.3, np.array([4.0, -3.0])
    other = replace(base, psi_rad=base.psi_rad.copy(), origin_A=base.origin_A.copy())
    other.psi_rad[0] += da
    other.origin_A[1] += d
    found = register([base, other.then(motion(rng, True, n))], RADIUS_A)
    assert found.pixel_error_A[1] == pytest.approx(5.0, rel=0.03)  # n images share the motion: 1 / n is left
    spot = rng.uniform(-RADIUS_A, RADIUS_A, (4000, 2))
    spot = spot[np.hypot(*spot.T) < RADIUS_A]
    a, b = (own.take(np.zeros(len(spot), int)).points(spot) for own in found.sets)
    assert found.pixel_error_A[0] == pytest.approx(np.sqrt(np.square(a - b).sum(1).mean()), rel=0.03)
    assert np.median(found.pixel_error_A) < 0.1


def test_minority_of_mirror_states_is_unstable_and_does_not_turn_the_rest():
    rng = np.random.default_rng(4)
    base = some(rng)
    other = replace(base, mirror=base.mirror.copy())
    other.mirror[:5] ^= True
    found = register([base, other.then(motion(rng, False)), base.then(motion(rng, True))], RADIUS_A)
    assert np.flatnonzero(~found.mirror_stable).tolist() == [0, 1, 2, 3, 4]
    assert found.mean_error_A < 2.0
    assert found.mirror_stable_share == pytest.approx(25 / 30)


def test_no_motion_is_better_than_the_one_found():
    """Two noisy sets: moving one of them a little always raises the variance."""
    rng = np.random.default_rng(5)
    base = some(rng)
    noisy = replace(
        base, psi_rad=base.psi_rad + rng.normal(0, 0.2, N), origin_A=base.origin_A + rng.normal(0, 2, (N, 2))
    )
    found = register([base, noisy.then(motion(rng, True))], RADIUS_A)

    def variance(second: Alignments) -> float:
        angle = found.sets[0].psi_rad - second.psi_rad
        sign = np.where(found.sets[0].mirror, -1, 1)
        centre = found.sets[0].points(np.zeros((N, 2))) - second.points(np.zeros((N, 2)))
        return float(((1 - np.cos(sign * angle)) * RADIUS_A**2 + np.square(centre).sum(1)).mean())

    best = variance(found.sets[1])
    for turn, shift in ((0.02, (0, 0)), (-0.02, (0, 0)), (0, (0.5, 0)), (0, (-0.5, 0)), (0, (0, 0.5)), (0, (0, -0.5))):
        move = Alignments(
            particle=np.arange(N), reference=np.zeros(N, int), psi_rad=np.full(N, turn),
            origin_A=np.tile(shift, (N, 1)), mirror=np.zeros(N, bool),
        )  # fmt: skip
        assert variance(found.sets[1].then(move)) > best


def test_sets_of_other_particles_are_refused():
    rng = np.random.default_rng(6)
    base = some(rng)
    with pytest.raises(ValueError, match="expected at least 2 sets"):
        register([base], RADIUS_A)
    with pytest.raises(ValueError, match="set 2 is not of the same particles"):
        register([base, base.take(np.arange(N)[::-1])], RADIUS_A)
