"""SGD for ab initio: the gradient is that of the evidence, steps climb, the structure is found."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from posed_scenes import DIAMETER_A, scene

from vitreous.matching import Chosen, PreparedParticles, SearchPlan, Sums, expect, soft
from vitreous.matching.score import Rows
from vitreous.rotations import compare_poses, symmetry_matrices
from vitreous.structures.abinitio import Abinitio, abinitio, prepare_run
from vitreous.structures.abinitio.ascent import Ascent, Gradient, ascended, residual
from vitreous.structures.abinitio.directions import directions_for, slice_matrices
from vitreous.structures.abinitio.sgd import noise_factor, rate_of
from vitreous.structures.abinitio.statistics import fold_sums, volume_references
from vitreous.volumes import RingPoints, density, prepared, ring_slices

RINGS, COUNT = 5, 24
GROUP = symmetry_matrices("C1")
SETTINGS = Abinitio(method="sgd", particle_diameter_A=DIAMETER_A, offset_range_A=8.0, resolution_limit_A=24.0, folds=6)
MATRICES = slice_matrices(directions_for(40.0, GROUP, seed=0, purpose=("test",))).float()


def prepared_data(*, astigmatic: bool) -> PreparedParticles:
    particles = scene(COUNT, 0.5).particles
    if not astigmatic:
        mean = (particles.ctf.defocus_u_A + particles.ctf.defocus_v_A) / 2
        particles = replace(particles, ctf=replace(particles.ctf, defocus_u_A=mean, defocus_v_A=mean))
    return prepare_run(particles, replace(SETTINGS, folds=4)).data()


def noise_volume(data: PreparedParticles, points: RingPoints) -> torch.Tensor:
    """A prepared volume of random voxels, whose slices have a seventh of the power of the images."""
    volume = prepared(torch.randn(points.side, points.side, points.side, generator=torch.Generator().manual_seed(0)))
    power = ring_slices(volume, MATRICES, points).abs().square().mean()
    return volume * (data.group_power[:, :RINGS].mean() / 7 / power).sqrt()


def matched(
    data: PreparedParticles, plan: SearchPlan, slices: torch.Tensor, sharpness: float = 1.0
) -> tuple[float, Sums]:
    """(sum over images of ``1/b log sum_h (pi_h exp l_h)^b``, b the sharpness; the sums under their posteriors)."""

    def choice(rows: Rows, n: int) -> Chosen:
        whole = soft(replace(rows, log_weight=sharpness * rows.log_weight), n).log_evidence / sharpness
        return replace(soft(rows, n, sharpness=sharpness), log_evidence=whole)

    references = volume_references(slices, torch.ones(1), plan, ctf_harmonics=data.ctf_harmonics, offset_sd_px=2.0)
    sums, outcome = expect(data, np.arange(COUNT), plan, references, data.group_power, choice=choice)
    return float(outcome.log_evidence.astype(np.float64).sum()), sums


@pytest.mark.parametrize(
    ("astigmatic", "sharpness", "within"),
    [(False, 1.0, 2e-3), (False, 0.5, 2e-3), (True, 1.0, 0.02)],  # power is the mean of C^2 over a ring
)
def test_the_gradient_is_the_derivative_of_the_evidence(astigmatic, sharpness, within):
    """Central differences of the log marginal likelihood along a random change of the samples of the volume."""
    data = prepared_data(astigmatic=astigmatic)
    plan, points = data.search(RINGS, 8.0, keep=80.0), RingPoints(basis=data.basis.truncated(RINGS))
    volume = noise_volume(data, points)
    change = torch.randn(volume.shape, dtype=torch.complex64, generator=torch.Generator().manual_seed(1))
    change = 0.01 * change * volume.abs().mean()
    slices = ring_slices(volume, MATRICES, points)
    given = residual(matched(data, plan, slices, sharpness)[1], slices)
    half = fold_sums(given, MATRICES, points, 1, RINGS, GROUP).numerator[0]
    up, down = (
        matched(data, plan, ring_slices(volume + sign * change, MATRICES, points), sharpness)[0] for sign in (1, -1)
    )
    slope = 2 * float((half.conj() * change).real.double().sum())
    assert slope == pytest.approx((up - down) / 2, rel=within)


def test_a_step_of_rate_one_along_the_gradient_of_all_particles_is_the_m_step_of_em():
    data = prepared_data(astigmatic=False)
    plan, points = data.search(RINGS, 8.0), RingPoints(basis=data.basis.truncated(RINGS))
    tau2 = torch.full((1, RINGS), float(data.group_power[:, :RINGS].mean()))
    sums = matched(data, plan, ring_slices(noise_volume(data, points), MATRICES, points))[1]
    given = fold_sums(sums, MATRICES, points, 1, RINGS, GROUP)
    solved = density(given.volume(0), points.basis, tau2[0])
    maps = 0.5 * solved[None]
    left = residual(sums, ring_slices(prepared(maps[0]), MATRICES, points))
    gradient = Gradient(half=fold_sums(left, MATRICES, points, 1, RINGS, GROUP).numerator)
    start = Ascent.at(maps)
    there = ascended(start, gradient, given, 1.0, points.basis, tau2, rate=1.0, momentum=0.0).maps[0]
    assert float((there - solved).norm() / solved.norm()) < 0.1  # of the 0.5 at the start; interpolation is the rest
    slow = ascended(start, gradient, given, 1.0, points.basis, tau2, rate=1.0, momentum=0.9).maps[0]
    assert torch.allclose(slow - maps[0], 0.1 * (there - maps[0]), atol=1e-5 * float(maps.abs().max()))


def test_steps_become_shorter_and_the_noise_becomes_that_of_the_data():
    rates = [rate_of(passes) for passes in range(60)]
    assert np.all(np.diff(rates) < 0)
    for first in (0.3, 4.0):
        factors = [noise_factor(first, passes) for passes in range(60)]
        assert factors[0] == pytest.approx(first)
        assert factors[-1] == pytest.approx(1.0, abs=0.01)
        assert np.all(np.diff(np.abs(np.log(factors))) < 0)


def test_a_structure_is_found_from_a_random_start():
    made = scene(300, 0.5)
    found = abinitio(made.particles, SETTINGS, starts=1)
    assert found.found_signal
    right = compare_poses(found.poses.rotation, made.truth.rotation, group=np.eye(3)[None], within_deg=25.0)
    assert right.fraction > 0.7  # by chance 3 in 100
