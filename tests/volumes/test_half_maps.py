"""Resolution from half maps: right where it is known, corrected for masks, silent about noise."""

import shutil
import subprocess

import numpy as np
import pytest
import torch

from vitreous.particles import Volume, read_star, write_volume
from vitreous.quality import shell_correlation
from vitreous.simulate import phantom
from vitreous.volumes import (
    apply_b_factor,
    apply_mask,
    automatic_mask,
    check_halves,
    correct_fsc,
    half_map_fsc,
    low_pass,
    mean_of_halves,
    randomise_phases,
    spherical_mask,
)
from vitreous.volumes.shells import shell_index

N, PIXEL = 32, 5.0


def particle() -> Volume:
    return apply_b_factor(Volume(data=phantom(N, PIXEL, "small").numpy(), pixel_size_A=PIXEL), 200.0)


def noise(seed: int, n: int = N) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, n, n))


def halves(level: float, seed: int = 0) -> tuple[Volume, Volume]:
    """The particle and white noise, apart."""
    true = particle()
    return tuple(true.with_data(true.data + level * noise(2 * seed + i)) for i in range(2))


@pytest.mark.parametrize("level", [0.02, 0.05, 0.15])
def test_the_claim_is_where_the_mean_and_the_truth_correlate_by_a_half(level):
    one, two = halves(level)
    mean, true = mean_of_halves(one, two), particle()
    mask = automatic_mask(mean)
    found = half_map_fsc(one, two, mask)
    with_truth = shell_correlation(torch.from_numpy(mean.data * mask.data), torch.from_numpy(true.data * mask.data))
    expected = found.resolution_of(with_truth.double().numpy(), 0.5)
    assert found.resolution_A == pytest.approx(expected, rel=0.12)
    assert found.resolution_A < found.resolution_of(found.unmasked, 0.143)  # solvent noise is outside
    assert found.significance > 10
    assert not found.reaches_nyquist


def test_curves_without_a_mask_are_all_the_same():
    one, two = halves(0.1)
    found = half_map_fsc(one, two)
    expected = shell_correlation(torch.from_numpy(one.data), torch.from_numpy(two.data))
    assert np.abs(found.unmasked - expected.numpy()).max() < 1e-5
    assert np.array_equal(found.masked, found.unmasked)
    assert np.array_equal(found.corrected, found.unmasked)
    assert not found.randomised.any()
    assert found.frequency_per_A[N // 2] == pytest.approx(1 / (2 * PIXEL))


def test_a_tight_mask_pretends_and_is_found_out():
    """Noise beyond a frequency and a mask full of holes: the mask alone makes the halves alike."""
    true = low_pass(particle(), 25.0)
    one, two = (true.with_data(true.data + low_pass(true.with_data(0.02 * noise(i)), 12.0).data) for i in range(2))
    spikes = (np.random.default_rng(5).random((N, N, N)) > 0.5) & (spherical_mask(true, 90.0).data > 0.5)
    mask = true.with_data(spikes.astype(np.float32))
    found = half_map_fsc(one, two, mask)
    assert found.masked[10:].min() > 0.5  # high frequencies seem to agree
    assert found.resolution_of(found.masked, 0.143) < 11.0
    assert found.resolution_A > 17.0
    assert np.abs(found.corrected[found.randomised_from + 3 : 13]).max() < 0.2


def test_noise_makes_no_claim():
    for seed in range(12):
        one, two = (Volume(data=noise(100 + 2 * seed + i), pixel_size_A=PIXEL) for i in range(2))
        if seed % 3 == 1:  # coloured
            one, two = low_pass(one, 20.0, edge_per_A=0.05), low_pass(two, 20.0, edge_per_A=0.05)
        ball = spherical_mask(one, 60.0)
        if seed % 3 == 2:  # masked beforehand: fewer independent coefficients than shells hold
            one, two = apply_mask(one, ball), apply_mask(two, ball)
        for mask in (None, ball, seen_in_the_mean(one, two)):
            found = half_map_fsc(one, two, mask)
            assert found.resolution_A == np.inf
            assert not found.reaches_nyquist


def seen_in_the_mean(one: Volume, two: Volume) -> Volume:
    """A mask of where two maps of noise agree by chance."""
    density = low_pass(mean_of_halves(one, two), 25.0)
    top = density.data > np.quantile(density.data, 0.93)
    return density.with_data(top.astype(np.float32))


def test_chance_is_measured_in_its_own_standard_deviations():
    found = [half_map_fsc(*(Volume(data=noise(2 * s + i, 16), pixel_size_A=1.0) for i in range(2))) for s in range(60)]
    values = np.array([f.significance for f in found])
    assert values.max() < 5.0
    assert 0.5 < np.median(values) < 2.0  # the largest of 8 sums of mean 0 and standard deviation 1


def test_the_lower_bound_holds_for_19_shells_of_20():
    """White signal and white noise, so that the FSC that is expected is known: 1 / (1 + level^2)."""
    held = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        signal, level = rng.normal(size=(16, 16, 16)), (0.7, 1.5)[seed % 2]
        one, two = (Volume(data=signal + level * rng.normal(size=signal.shape), pixel_size_A=1.0) for _ in range(2))
        found = half_map_fsc(one, two)
        held += (found.certain < 1 / (1 + level**2))[1:].tolist()
        assert (found.certain <= found.corrected)[1:].all()
        assert found.certain_resolution_A >= found.resolution_A
    assert np.mean(held) == pytest.approx(0.95, abs=0.03)  # of 320 shells; three standard errors


def test_shells_hold_as_many_numbers_as_coefficients_and_a_mask_leaves_its_share():
    one, two = (Volume(data=noise(i), pixel_size_A=PIXEL) for i in range(2))
    count = np.bincount(shell_index_of_all().ravel(), minlength=N)[: N // 2 + 1]
    whole = half_map_fsc(one, two).numbers
    assert whole[0] == 0
    assert whole[3:] == pytest.approx(count[3:], rel=0.25)
    ball = half_map_fsc(one, two, spherical_mask(one, 90.0)).numbers
    share = (spherical_mask(one, 90.0).data > 0.5).mean()
    assert np.mean(ball[4:] / count[4:]) == pytest.approx(share, rel=0.6)  # its soft edge, and the window of power


def shell_index_of_all() -> np.ndarray:
    """Shell of every coefficient of the whole transform."""
    axis = np.fft.fftfreq(N, 1 / N)
    return np.rint(np.sqrt(axis[:, None, None] ** 2 + axis[:, None] ** 2 + axis**2)).astype(int)


def test_maps_that_agree_to_the_last_shell_are_limited_by_their_pixels():
    one, two = halves(1e-4)
    found = half_map_fsc(one, two)
    assert found.reaches_nyquist
    assert found.resolution_A == 2 * PIXEL
    assert found.randomised_from == N // 2 + 1  # nothing to randomise


def test_random_phases_keep_amplitudes_and_low_frequencies():
    volume = torch.from_numpy(particle().data)
    random = randomise_phases(volume, 6, seed=3)
    before, after = torch.fft.rfftn(volume), torch.fft.rfftn(random)
    low = shell_index(N) < 6
    assert (after - before).abs()[low].max() < 1e-4 * before.abs().max()
    assert (after.abs() - before.abs()).abs().max() < 1e-4 * before.abs().max()
    curve = shell_correlation(volume, random)
    assert curve[:6].min() > 0.9999
    assert curve[6:].abs().max() < 0.3
    assert torch.equal(random, randomise_phases(volume, 6, seed=3))
    assert shell_correlation(random, randomise_phases(volume, 6, seed=4))[6:].abs().max() < 0.3


def test_correction_by_hand():
    masked, random = np.array([1, 0.9, 0.8, 0.7, 0.6, 0.5]), np.array([0, 0, 0.3, 0.2, 0.2, -0.1])
    found = correct_fsc(masked, random, 2)
    assert found == pytest.approx([1, 0.9, 0.8, 0.7, (0.6 - 0.2) / 0.8, 0.5])
    assert correct_fsc(np.ones((2, 6)), np.ones(6), 2).max() == 1.0


def test_halves_that_are_none_are_refused():
    one, two = halves(0.1)
    with pytest.raises(ValueError, match="both are the same map"):
        half_map_fsc(one, one.with_data(2.0 * one.data))
    with pytest.raises(ValueError, match=r"same box, found 32 x 32 x 32 and 16 x 16 x 16"):
        check_halves(one, two.with_data(two.data[:16, :16, :16]))
    with pytest.raises(ValueError, match=r"pixel sizes 5 and 4 A differ"):
        check_halves(one, Volume(data=two.data, pixel_size_A=4.0))
    broken = two.data.copy()
    broken[1, 2, 3] = np.nan
    with pytest.raises(ValueError, match="the second holds 1 NaN or infinite values"):
        check_halves(one, two.with_data(broken))
    with pytest.raises(ValueError, match="the first has the same value everywhere"):
        check_halves(one.with_data(np.zeros((N, N, N))), two)
    with pytest.raises(ValueError, match="resample brings it"):
        half_map_fsc(one, two, spherical_mask(Volume(data=np.zeros((16, 16, 16)), pixel_size_A=PIXEL), 40.0))


@pytest.mark.skipif(shutil.which("relion_postprocess") is None, reason="relion_postprocess is not installed")
def test_relion_draws_the_same_curves(tmp_path):
    one, two = halves(0.05)
    mask = automatic_mask(mean_of_halves(one, two))
    for name, volume in {"half1": one, "half2": two, "mask": mask}.items():
        write_volume(tmp_path / f"{name}.mrc", volume)
    command = "relion_postprocess --i half1.mrc --i2 half2.mrc --o theirs --angpix 5 --mask mask.mrc"
    subprocess.run(command.split(), cwd=tmp_path, capture_output=True)  # fails after its table where it cannot draw
    tables, ours = read_star(tmp_path / "theirs.star"), half_map_fsc(one, two, mask)
    label = "rlnFourierShellCorrelation"
    curves = {name: tables["fsc"].numbers(label + name) for name in ("UnmaskedMaps", "MaskedMaps", "Corrected")}
    assert np.abs(curves["UnmaskedMaps"] - ours.unmasked).max() < 0.02
    assert np.abs(curves["MaskedMaps"] - ours.masked).max() < 0.02
    assert np.abs(curves["Corrected"] - ours.corrected).max() < 0.15  # other random phases
    assert tables["general"].numbers("rlnRandomiseFrom")[0] == pytest.approx(N * PIXEL / ours.randomised_from, rel=1e-3)
    theirs = tables["general"].numbers("rlnFinalResolution")[0]
    assert abs(N * PIXEL / theirs - N * PIXEL / ours.resolution_A) < 1.5  # Fourier pixels; RELION has whole ones
