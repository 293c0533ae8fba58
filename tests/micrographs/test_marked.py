"""Carbon, spots of hot pixels, and picks in cryoSPARC's file."""

import numpy as np
import pytest
from scenes_of_micrographs import DIAMETER_A, PIXEL_A, micrograph

from vitreous.micrographs import Pick, ball_templates, pick_micrograph, read_coordinates, rotated_bank, working_pixel_A
from vitreous.micrographs.carbon import carbon_area, step_at_edge
from vitreous.micrographs.cleaning import clean
from vitreous.micrographs.contaminants import hot_spots
from vitreous.particles.cryosparc import write_locations


def test_the_louder_half_is_carbon_and_noise_with_particles_has_none():
    picture, _ = micrograph(20, size=(400, 400))
    assert not carbon_area(picture - picture.mean(), 20.0).any()
    louder = picture.copy()
    louder[:, 240:] += 1.4 * np.random.default_rng(1).normal(size=(400, 160)).astype(np.float32)
    found = carbon_area(louder - louder.mean(), 20.0)
    assert found[:, 260:].mean() > 0.95
    assert found[:, :220].mean() < 0.02


@pytest.mark.parametrize("loudest", [1.5, 3.0])
def test_noise_that_grows_across_a_micrograph_is_no_carbon(loudest):
    """A slope of loudness; the same pixels with a step in place of the slope show carbon."""
    noise = np.random.default_rng(3).normal(size=(300, 300)).astype(np.float32)
    assert not carbon_area(noise * np.linspace(1.0, loudest, 300, dtype=np.float32), 20.0).any()
    assert carbon_area(noise * np.where(np.arange(300) < 200, 1.0, 1.7), 20.0).any()


def test_picks_on_carbon_are_marked_or_excluded():
    picture, _ = micrograph(20, size=(400, 400))
    picture[:, 240:] += 1.4 * np.random.default_rng(1).normal(size=(400, 160)).astype(np.float32)
    working_A = working_pixel_A(PIXEL_A, DIAMETER_A)
    ball = rotated_bank(ball_templates(DIAMETER_A, working_A), 1, working_A, DIAMETER_A)
    kept, left = (pick_micrograph(picture, PIXEL_A, ball, Pick(carbon=on, false_picks=100.0)) for on in (True, False))
    assert kept.carbon[kept.accepted].any()
    assert not left.carbon[left.accepted].any()
    assert {reason for reason, on in zip(left.reason, left.carbon, strict=True) if on} <= {"carbon", "edge", "noise"}
    assert (kept.x_px[kept.carbon] > 220).all()


def test_the_step_at_an_edge_of_carbon_is_found_and_taken_off():
    """A hole with carbon that is eight standard deviations darker: what is left near its edge is noise."""
    picture, _ = micrograph(20, size=(400, 400))
    y, x = np.mgrid[:400, :400]
    outside = np.hypot(x + 90.0, y - 40.0) - 350.0  # from the edge of the hole, px
    louder = 1.4 * np.random.default_rng(1).normal(size=(400, 400)) * (outside > 0)
    step = 8.0 / (1.0 + np.exp(-outside / 1.5))
    dose = 1.0 + 0.1 * np.linspace(-1, 1, 400)  # that of the picture
    stepped = (picture - dose * (step - louder)).astype(np.float32)
    found = clean(stepped, 10.0, 10.0, invert=False, diameter_A=200.0)
    plain = clean(picture, 10.0, 10.0, invert=False, diameter_A=200.0)
    assert (found.carbon != (outside > 0)).mean() < 0.01
    for first in range(-40, 40, 10):
        band = (outside >= first) & (outside < first + 10)
        assert abs((found.data - plain.data)[band].mean()) < 0.15  # of 8
    assert not plain.carbon.any()
    assert np.array_equal(plain.data, clean(picture, 10.0, 10.0, invert=False).data)


def test_where_carbon_is_as_bright_as_ice_its_edge_stays_and_there_is_no_step():
    noise = np.random.default_rng(4).normal(size=(200, 240)).astype(np.float32)
    carbon = np.zeros(noise.shape, dtype=bool)
    carbon[:, 150:] = True
    step, found = step_at_edge(noise, carbon, 20.0)
    assert np.array_equal(found, carbon)
    assert np.abs(step).max() < 0.6  # the median of 200 pixels has a standard deviation of 0.09
    for all_alike in (np.zeros_like(carbon), np.ones_like(carbon)):
        assert not step_at_edge(noise, all_alike, 20.0)[0].any()


def test_clusters_of_hot_pixels_are_spots_and_scattered_ones_are_not():
    rng = np.random.default_rng(2)
    scattered = rng.integers(0, 400, (40, 2))
    cluster = np.array([[100 + i, 200 + j] for i in range(3) for j in range(3)])
    places = np.array([[200.0, 100.0], [300.0, 300.0]])  # x, y
    both = np.concatenate([scattered, cluster])
    assert hot_spots(places, both, 20.0, 400 * 400).tolist() == [True, False]
    assert not hot_spots(places, scattered[:0], 20.0, 400 * 400).any()


def test_coordinates_go_to_cryosparc_and_come_back(tmp_path):
    rng = np.random.default_rng(3)
    xy, shape = rng.uniform(0, 300, (6, 2)), np.tile([[320, 384]], (6, 1))
    names = [f"mics/m{i % 2}.mrc" for i in range(6)]
    write_locations(tmp_path / "picks.cs", names, xy, shape, np.full(6, 1.5), np.arange(6.0))
    found = read_coordinates([tmp_path / "picks.cs"], None)
    assert found.table.text("rlnMicrographName").tolist() == names
    assert np.allclose(found.coordinate_px, xy, atol=1e-3)
    assert found.table.numbers("rlnAutopickFigureOfMerit").tolist() == list(range(6))
    assert len(set(np.load(tmp_path / "picks.cs")["uid"].tolist())) == 6


def test_pixels_that_were_filled_in_are_neither_ice_nor_carbon():
    """A third of a micrograph is 0, whose mean is 150: the rest is no carbon, and its particles are found."""
    picture, _ = micrograph(20, size=(300, 400))
    working_A = working_pixel_A(PIXEL_A, DIAMETER_A)
    ball = rotated_bank(ball_templates(DIAMETER_A, working_A), 1, working_A, DIAMETER_A)
    whole = pick_micrograph(picture + 50.0, PIXEL_A, ball, Pick(false_picks=5.0))
    filled = picture + 50.0
    filled[:100] = 0.0
    part = pick_micrograph(filled, PIXEL_A, ball, Pick(false_picks=5.0))
    expected = np.count_nonzero(whole.y_px[whole.accepted] > 115)
    assert expected > 5
    assert not part.carbon.any()
    assert np.count_nonzero(part.y_px[part.accepted] < 90) == 0
    assert abs(np.count_nonzero(part.y_px[part.accepted] > 115) - expected) <= 0.2 * expected
