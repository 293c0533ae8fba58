"""Picking on small pictures with known particles, and on noise."""

import mrcfile
import numpy as np
import pytest
from scenes_of_micrographs import DIAMETER_A, PIXEL_A, micrograph, shape, spread
from scipy.ndimage import gaussian_filter, median_filter

from vitreous.micrographs import (
    Pick,
    ball_templates,
    guess_diameter,
    image_templates,
    list_micrographs,
    pick_micrograph,
    rotated_bank,
    working_pixel_A,
)
from vitreous.micrographs._kernels.median import median_of_nine
from vitreous.micrographs.cleaning import flattened, without_hot_pixels
from vitreous.micrographs.contaminants import least_score
from vitreous.micrographs.detection import filtered, scan
from vitreous.micrographs.peaks import find_peaks, refined_peaks
from vitreous.micrographs.spectra import power_at, quiet_noise, without_long_waves
from vitreous.micrographs.threshold import Calibration, calibrated

WORKING_A = working_pixel_A(PIXEL_A, DIAMETER_A)
ANGLES = 12


def bank(greyscale: float = 1.0, offset: float = 0.0, angles: int = ANGLES):
    images = (greyscale * shape() + offset)[None]
    return rotated_bank(image_templates(images, PIXEL_A, DIAMETER_A, WORKING_A), angles, WORKING_A, DIAMETER_A)


def found(picks, places, within_px=4.0):
    """(share of the places that are picked, share of the picks that are right)."""
    xy = np.stack([picks.x_px, picks.y_px], axis=1)[picks.accepted]
    distance = (
        np.hypot(*(xy[:, None] - places[None]).transpose(2, 0, 1)) if len(xy) else np.full((1, len(places)), 99.0)
    )
    return (distance.min(axis=0) < within_px).mean(), (distance.min(axis=1) < within_px).mean()


def test_particles_are_found_by_images_and_by_a_ball_on_a_picture_that_is_not_square():
    picture, places = micrograph()
    ball = rotated_bank(ball_templates(DIAMETER_A, WORKING_A), 1, WORKING_A, DIAMETER_A)
    for what, least in ((bank(), 0.9), (ball, 0.8)):
        recall, precision = found(pick_micrograph(picture, PIXEL_A, what, Pick(false_picks=1.0)), places)
        assert (recall, precision) >= (least, least)
        assert precision >= 0.8


def test_places_are_right_to_a_pixel_and_rotations_to_the_step_of_the_bank():
    picture = np.random.default_rng(0).normal(size=(200, 240)).astype(np.float32)
    psi, x, y = np.deg2rad(60.0), 130, 70
    picture[y - 16 : y + 16, x - 16 : x + 16] -= (8.0 * shape(32, psi)).astype(np.float32)
    picks = pick_micrograph(picture, PIXEL_A, bank(), Pick(false_picks=0.1))
    assert picks.accepted[0]
    assert np.hypot(picks.x_px[0] - x, picks.y_px[0] - y) < 1.0
    assert abs((picks.psi_deg[0] - 60.0 + 180.0) % 360.0 - 180.0) <= 360.0 / ANGLES


def test_greyscale_and_offset_of_templates_do_not_matter():
    picture, _ = micrograph(12)
    one = pick_micrograph(picture, PIXEL_A, bank(), Pick())
    other = pick_micrograph(picture, PIXEL_A, bank(37.0, 5.0), Pick())
    assert np.allclose(one.x_px, other.x_px)
    assert np.allclose(one.score, other.score, atol=1e-3)


def test_scale_of_the_micrograph_does_not_matter_and_its_sign_does():
    picture, places = micrograph(12)
    one = pick_micrograph(picture, PIXEL_A, bank(), Pick())
    other = pick_micrograph(picture * 7.0, PIXEL_A, bank(), Pick())
    assert np.allclose(one.score, other.score, atol=1e-2)
    white = pick_micrograph(200.0 - picture, PIXEL_A, bank(), Pick(invert_contrast=False))
    assert found(white, places)[0] >= 0.9


def test_whatever_is_no_pick_has_a_reason_and_picks_keep_their_distance():
    picture, _ = micrograph()
    picks = pick_micrograph(picture, PIXEL_A, bank(), Pick(edge_A=300.0, distance_A=250.0))
    assert {"edge", "noise"} <= set(picks.reason)
    xy = np.stack([picks.x_px, picks.y_px], axis=1)[picks.accepted]
    assert len(xy) > 1
    distance = np.hypot(*(xy[:, None] - xy[None]).transpose(2, 0, 1)) + 1e9 * np.eye(len(xy))
    assert distance.min() >= 250.0 / PIXEL_A
    assert (np.minimum(xy, np.array([383, 319]) - xy) >= 300.0 / PIXEL_A - 1e-3).all()


def test_strong_dark_discs_among_particles_are_excluded():
    size = (384, 384)
    picture, places = micrograph(24, size=size, seed=3)
    axis = np.arange(40) - 20
    ice = 20.0 * (np.hypot(axis[:, None], axis) < 9)
    spots = [place for place in spread(400, size, 5, apart=1.0) if np.hypot(*(places - place).T).min() > 45][:2]
    for x, y in spots:
        picture[y - 20 : y + 20, x - 20 : x + 20] -= ice.astype(np.float32)[: size[0], : size[1]]
    picks = pick_micrograph(picture, PIXEL_A, bank(), Pick())
    xy = np.stack([picks.x_px, picks.y_px], axis=1)
    for spot in spots:
        near = np.hypot(*(xy - spot).T) < 5.0
        assert near.any()
        assert {word for word, here in zip(picks.reason, near, strict=True) if here} <= {
            "too_strong", "too_heavy", "noise", "overlap",
        }  # fmt: skip
    assert found(picks, places)[0] >= 0.85


def test_a_filter_has_the_variance_one_in_noise_and_the_height_of_the_signal_to_noise_ratio():
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(240, 200)).astype(np.float32) * 3.0
    one = bank(angles=1)
    ready = filtered(noise, one, np.full(41, 9.0), None, detail=5.0, whiten=True)
    assert scan(ready, one).highest.std() == pytest.approx(1.0, abs=0.1)  # some 150 independent values
    assert scan(ready, one).lowest == pytest.approx(scan(ready, one).highest)
    again = filtered(noise, one, np.full(41, 9.0), None, detail=5.0, whiten=False)
    assert scan(again, one).highest == pytest.approx(scan(ready, one).highest, abs=1e-3)


def test_the_filter_is_a_correlation_with_the_template():
    """Against the slow way: sums over pixels, noise white, all frequencies alike, far from the edge."""
    rng = np.random.default_rng(1)
    noise = rng.normal(size=(64, 64)).astype(np.float32)
    one = bank(angles=1)
    ready = filtered(noise, one, np.ones(33), None, detail=1e6, whiten=True)
    fast = scan(ready, one).highest
    template = one.filters[0]
    m = template.shape[0]
    y, x = 30, 34
    patch = noise[y - m // 2 : y - m // 2 + m, x - m // 2 : x - m // 2 + m]
    slow = float((patch * template).sum() / np.sqrt(np.square(template).sum()))
    assert fast[y, x] == pytest.approx(slow, abs=0.8)  # what is slower than the particle is left out


def test_the_stated_number_of_false_picks_is_right_within_a_factor_of_three():
    wanted, counts = 4.0, []
    for seed in range(4):
        noise = np.random.default_rng(seed).normal(size=(400, 400)).astype(np.float32)
        counts.append(
            pick_micrograph(noise + 50.0, PIXEL_A, bank(), Pick(false_picks=wanted, edge_A=0.0)).accepted.sum()
        )
    assert 4 * wanted / 3 <= sum(counts) <= 4 * wanted * 3


@pytest.mark.parametrize("count", [0.1, 1.0, 30.0])
def test_thresholds_and_expected_numbers_are_inverse(count):
    calibration = Calibration(rate=40.0, low=(1.0,))
    assert calibration.expected(calibration.threshold(count, 100.0), 100.0) == pytest.approx(count)
    assert calibration.threshold(count, 1e4) > calibration.threshold(count, 100.0)
    assert Calibration(rate=1e-9, low=(1.0,)).threshold(count, 1.0) == pytest.approx(2.0)


def test_the_threshold_that_is_chosen_makes_the_most_of_what_is_found():
    """Particles well above noise: nearly all are taken; in noise alone no more than the least number expected."""
    rng = np.random.default_rng(5)
    calibration = Calibration(rate=40.0, low=(1.0,))
    x = np.linspace(2.0, 9.0, 7001)
    density = -np.gradient([calibration.expected(float(v), 100.0) for v in x], x)
    noise = rng.choice(x, size=int(calibration.expected(2.0, 100.0)), p=density / density.sum())
    strict = calibration.threshold(5.0, 100.0)
    assert calibration.most_right(np.zeros(0), 100.0) == strict
    weak = rng.normal(strict, 0.5, 200)
    chosen = calibration.most_right(np.concatenate([noise, weak]), 100.0)
    assert calibration.threshold(40.0, 100.0) <= chosen < strict
    strong = np.full(200, strict + 3.0)
    assert calibration.most_right(strong, 100.0) == strict
    assert calibration.most_right(noise, 100.0) == strict


def test_particles_leave_less_room_for_noise_beside_a_ball():
    """As low as if the micrograph were smaller by what lies about the particles; in noise alone the whole counts."""
    calibration = Calibration(rate=2.0, low=(1.0,), dimensions=2)
    empty = calibration.threshold(60.0, 300.0)
    assert calibration.chosen(np.full(20, 2.5), 300.0) == empty  # noise makes 39 so high
    crowd = calibration.chosen(np.full(80, 4.0), 300.0)
    assert crowd == calibration.threshold(60.0, 300.0 - 80 * np.pi * 0.75**2)
    assert calibration.least_x <= crowd < empty - 0.3


def test_what_has_much_less_score_than_particles_is_doubtful():
    rng = np.random.default_rng(1)
    merit = np.concatenate([rng.normal(3.0, 0.3, 40), np.full(30, 0.5)])
    real = np.arange(70) < 40
    assert least_score(merit, real) == pytest.approx(0.6 * np.median(merit[:40]))
    assert least_score(merit, np.arange(70) < 5) == -np.inf  # too few to say


def test_a_filter_divides_by_the_root_of_the_noise():
    """Noise that grows fourfold from the third ring to the last: the weights fall as its root does."""
    point, one = np.zeros((64, 64), np.float32), bank(angles=1)
    point[32, 32] = 1.0
    power = np.interp(np.arange(33), [3, 32], [1.0, 4.0])
    white, even = (filtered(point, one, power, None, detail=1e6, whiten=on) for on in (True, False))
    ratio = (white.weighted[0].abs() / even.weighted[0].abs()).numpy()
    seen = slice(white.padded[1] // 16, None)  # from the fourth ring on
    k = np.arange(len(ratio)) / white.padded[1]
    expected = 1.0 / np.sqrt(power_at(k, power))
    assert ratio[seen] / ratio[-1] == pytest.approx(expected[seen] / expected[-1], rel=1e-3)


def test_more_filters_make_more_peaks_of_noise():
    flat = np.ones(11)
    few, many = (calibrated(bank(angles=n), flat, None, detail=5.0, whiten=True) for n in (1, ANGLES))
    assert many.expected(4.0, 100.0) > 1.5 * few.expected(4.0, 100.0)
    assert (few.dimensions, many.dimensions) == (2, 3)


def test_noise_is_measured_where_it_is_quiet_and_has_its_spectrum():
    rng = np.random.default_rng(2)
    data = rng.normal(size=(256, 256)).astype(np.float32)
    data[:160] *= 4.0
    assert quiet_noise(data, 20.0)[2:].mean() == pytest.approx(1.0, rel=0.15)
    smooth = gaussian_filter(rng.normal(size=(256, 256)), 1.0)
    k = np.arange(17) / 32.0
    expected = np.exp(-np.square(2.0 * np.pi * k))  # of a Gaussian of one pixel, squared
    found = quiet_noise(smooth, 20.0)
    assert found[3:10] == pytest.approx(expected[3:10], rel=0.35)
    assert (without_long_waves(found)[:3] <= found[3]).all()  # what is longer is particles', if it is more
    assert np.array_equal(without_long_waves(found)[3:], found[3:])


def test_choosing_quiet_patches_makes_no_ring_lower_than_the_others():
    """White noise: coarse rings scatter more than fine ones, and would be chosen low, by 30 % here."""
    rng = np.random.default_rng(7)
    power = np.mean([quiet_noise(rng.normal(size=(384, 384)), 20.0) for _ in range(3)], axis=0)
    assert power[2:4].mean() == pytest.approx(power[5:10].mean(), rel=0.12)


def test_an_edge_in_some_quiet_patches_is_not_taken_for_noise():
    data = np.random.default_rng(8).normal(size=(256, 256))
    flat = quiet_noise(data, 20.0)
    step = np.where(np.arange(256) < 128, 0.0, 4.0) * np.ones((256, 1))
    assert quiet_noise(data + gaussian_filter(step, 6.0), 20.0)[1] < 3.0 * flat[1]  # the mean over patches: 7.5


def test_every_filter_has_the_variance_one_in_the_noise_that_is_there():
    """Long waves and colours that the filter does not divide by count in its variance."""
    power = 1.0 + 8.0 * np.exp(-np.arange(17.0))
    k = np.hypot(np.fft.fftfreq(400)[:, None], np.fft.rfftfreq(400))
    white = np.fft.rfft2(np.random.default_rng(9).normal(size=(400, 400)))
    noise = np.fft.irfft2(white * np.sqrt(power_at(k, power)), s=(400, 400)).astype(np.float32)
    one = bank(angles=1)
    for whiten in (True, False):
        ready = filtered(noise, one, power, None, detail=5.0, whiten=whiten)
        assert scan(ready, one).highest.std() == pytest.approx(1.0, abs=0.06)  # some 600 independent values


def test_the_error_of_the_standard_deviation_makes_the_tail_fatter():
    """Against drawn numbers: responses with the tail of two dimensions, each divided by what a window says."""
    scales = tuple(np.linspace(0.85, 1.15, 8))
    exact = Calibration(rate=1.0, low=(1.0,), dimensions=2)
    erring = Calibration(rate=1.0, low=(1.0,), dimensions=2, scales=scales)
    rng = np.random.default_rng(10)
    x = np.linspace(2.0, 9.0, 7001)
    survival = np.array([exact.expected(float(v), 1.0) for v in x])
    drawn = np.interp(-rng.uniform(0, survival[0], 400_000), -survival, x) / rng.choice(scales, 400_000)
    above = (drawn > 4.5).mean() * survival[0]
    assert erring.expected(4.5, 1.0) == pytest.approx(above, rel=0.2)
    assert erring.expected(4.5, 1.0) > 1.8 * exact.expected(4.5, 1.0)


def test_maxima_of_a_smooth_field_in_the_plane_follow_the_formula_with_its_curvature():
    """Rice in two dimensions: ``lambda (2 pi)^-3/2 u exp(-u^2 / 2)`` per pixel, lambda the variance of a slope."""
    size, sigma = 1200, 3.0
    field = gaussian_filter(np.random.default_rng(11).normal(size=(size, size)), sigma, mode="wrap")
    field /= field.std()
    slope = 1.0 / (2.0 * sigma**2)
    heights = np.sort(field[tuple(find_peaks(field, 2.0, 2.0).T)])
    for u in (2.75, 3.25):
        rate = slope * (2.0 * np.pi) ** -1.5
        expected = Calibration(rate=rate, low=(1.0,), dimensions=2).expected(u, float(size**2))
        assert (heights > u).sum() == pytest.approx(expected, rel=0.2)  # 290 and 70


def test_gradients_go_and_contrast_follows_the_dose():
    rng = np.random.default_rng(3)
    v, u = np.meshgrid(np.linspace(-0.5, 0.5, 160), np.linspace(-0.5, 0.5, 200), indexing="ij")
    dose = 1.0 + 0.4 * u - 0.2 * v + 0.3 * u * u
    contrast = 0.01 * rng.normal(size=dose.shape)
    flat = flattened((100.0 * dose * (1.0 + contrast)).astype(np.float32))
    left, right = flat[:, :50].std(), flat[:, -50:].std()
    assert left == pytest.approx(right, rel=0.1)
    assert abs(flat[:, :50].mean() - flat[:, -50:].mean()) < 0.1 * flat.std()


def test_hot_pixels_become_their_surroundings():
    data = np.random.default_rng(4).normal(size=(64, 64)).astype(np.float32)
    data[10, 20], data[63, 0] = 90.0, -70.0
    cool, hot = without_hot_pixels(data)
    assert hot >= 2
    assert np.abs(cool).max() < 6.0


def test_peaks_keep_their_distance_and_the_higher_one_stays():
    score = np.zeros((40, 40))
    score[10, 10], score[10, 16], score[30, 30] = 5.0, 4.0, 3.0
    assert find_peaks(score, 8.0, 1.0).tolist() == [[10, 10], [30, 30]]
    assert find_peaks(score, 4.0, 1.0).tolist() == [[10, 10], [10, 16], [30, 30]]
    assert find_peaks(score, 4.0, 9.0).shape == (0, 2)
    score[10, 11] = 5.0 - 1e-6
    assert refined_peaks(score, np.array([[10, 10]]))[0, 1] == pytest.approx(10.5, abs=0.01)


def test_pictures_smaller_than_a_template_are_refused():
    with pytest.raises(ValueError, match="less than a template of"):
        pick_micrograph(np.random.default_rng(0).normal(size=(22, 40)), PIXEL_A, bank(), Pick())


def test_particles_that_are_hardly_a_pixel_are_refused():
    dot = rotated_bank(ball_templates(90.0, 30.0), 1, 30.0, 90.0)
    with pytest.raises(ValueError, match="is 3 pixels of 30 A across; expected at least 4: is the pixel size"):
        pick_micrograph(np.random.default_rng(0).normal(size=(64, 64)), 30.0, dot, Pick())


def test_flat_templates_are_refused():
    with pytest.raises(ValueError, match="template 2 is flat"):
        rotated_bank(np.stack([shape(), np.zeros((32, 32))]), 2, PIXEL_A, DIAMETER_A)


def test_the_diameter_is_guessed_from_the_pictures_and_unsure_in_noise(tmp_path):
    """Discs of 18 pixels of 10 A; the best ball is smaller than a disc with a soft rim, and the guess is between."""
    for i, contrast in enumerate((1.5, 0.0)):
        picture, _ = micrograph(30, size=(384, 384), contrast=contrast, seed=i)
        with mrcfile.new(tmp_path / f"{i}.mrc") as file:
            file.set_data(picture)
            file.voxel_size = 10.0
    there, noise = (guess_diameter(list_micrographs([tmp_path / f"{i}.mrc"])) for i in (0, 1))
    assert there.sure
    assert 180.0 / 1.7 < there.diameter_A < 180.0 * 1.7  # so few particles in so small a picture make it too large
    assert not noise.sure
    (tmp_path / "bad.mrc").write_bytes(b"x")
    with pytest.raises(ValueError, match="cannot be guessed: none of 1"):
        guess_diameter(list_micrographs([tmp_path / "bad.mrc"]))


@pytest.mark.parametrize("size", [(33, 47), (32, 32)])
def test_the_median_of_nine_is_that_of_a_sort(size):
    data = np.random.default_rng(6).normal(size=size).astype(np.float32)
    assert np.array_equal(median_of_nine(data), median_filter(data, 3))
