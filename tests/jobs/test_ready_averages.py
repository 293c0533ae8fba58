"""Averages as RELION, cryoSPARC, EMAN2, SPHIRE and 8-bit exports leave them, made ready for a model."""

import numpy as np
import pytest

from vitreous.jobs.ready_averages import ready_averages
from vitreous.mixtures import InitialModel, initial_model

BOX, PIXEL = 40, 4.0


def particle(n: int = 6) -> np.ndarray:
    """Two unequal blobs in the middle, nowhere negative, zero at the border."""
    rng, axis = np.random.default_rng(2), np.arange(BOX) - BOX // 2
    out = np.zeros((n, BOX, BOX))
    for i in range(n):
        for height in (1.0, 0.7):
            x, y = rng.uniform(-5, 5, 2)
            out[i] += height * np.exp(-((axis[:, None] - y) ** 2 + (axis - x) ** 2) / (2 * 2.5**2))
    return np.where(out > 1e-3, out, 0.0)


def with_halo(images: np.ndarray) -> np.ndarray:
    """Phase contrast surrounds a particle with a dark ring."""
    axis = np.arange(BOX) - BOX // 2
    r = np.hypot(axis[:, None], axis)
    return images - 0.25 * np.exp(-((r - 12) ** 2) / 8)


def circular(images: np.ndarray) -> np.ndarray:
    """RELION's mask: the background is of one value beyond a circle."""
    axis = np.arange(BOX) - BOX // 2
    return images * (np.hypot(axis[:, None], axis) < 17)


def stretched(images: np.ndarray) -> np.ndarray:
    """8 bits, every average by itself."""
    low, high = images.min(axis=(1, 2), keepdims=True), images.max(axis=(1, 2), keepdims=True)
    return np.round(255 * (images - low) / (high - low))


def noisy(images: np.ndarray, sd: float = 0.05) -> np.ndarray:
    return images + sd * np.random.default_rng(5).standard_normal(images.shape)


def edge_normalised(images: np.ndarray) -> np.ndarray:
    """EMAN2's: mean 0, standard deviation 1 at the border."""
    edge = np.concatenate([images[:, 0], images[:, -1]], axis=1)
    return (images - edge.mean(axis=1)[:, None, None]) / edge.std(axis=1)[:, None, None]


def test_deconvolved_averages_stay_as_they_are():
    images = particle().astype(np.float32)
    ready = ready_averages(images, PIXEL)
    assert ready.images is images
    assert (ready.signed, ready.notes) == (False, ())


@pytest.mark.parametrize("kind", ["RELION", "RELION 8 bits", "cryoSPARC", "EMAN2", "SPHIRE", "unmasked 8 bits"])
@pytest.mark.parametrize("dark", [False, True])
def test_background_is_zero_and_particles_are_white(kind, dark):
    truth = with_halo(particle())
    images = {
        "RELION": lambda: circular(noisy(truth)),
        "RELION 8 bits": lambda: stretched((-1 if dark else 1) * circular(noisy(truth))),
        "cryoSPARC": lambda: 0.02 * noisy(truth),
        "EMAN2": lambda: edge_normalised(noisy(truth)),
        "SPHIRE": lambda: circular(noisy(truth)) + 3.0,
        "unmasked 8 bits": lambda: stretched((-1 if dark else 1) * noisy(truth)),
    }[kind]()
    images = -images if dark and "8 bits" not in kind else images
    ready = ready_averages(images, PIXEL)
    assert ready.signed, "a dark halo means something"
    assert any("turned over" in note for note in ready.notes) == dark
    size = ready.images.std(axis=(1, 2))
    border = np.median(ready.images[:, [0, -1]], axis=(1, 2))
    assert np.abs(border / size).max() < 0.2
    for found, wanted in zip(ready.images, truth, strict=True):
        assert np.corrcoef(found.ravel(), wanted.ravel())[0, 1] > 0.85


def test_a_grey_background_below_which_nothing_lies_leaves_counts():
    ready = ready_averages(60 + np.round(190 * particle()), PIXEL)
    assert not ready.signed
    assert ready.images.min() == 0
    assert np.array_equal(ready.images, np.round(190 * particle()))
    assert "border 60 to 60" in ready.notes[0]
    assert "taken off" in ready.notes[0]


def test_neighbours_are_masked_unless_it_is_not_wanted():
    truth = noisy(with_halo(particle()), 0.02)
    images = truth.copy()
    images[:, :6, :6] += 1.5  # denser than the particle, and farther out
    ready = ready_averages(images, PIXEL)
    assert np.abs(ready.images[:, :5, :5]).max() < 0.1
    inner = ready.images[:, 12:28, 12:28] - truth[:, 12:28, 12:28]
    assert np.abs(inner).max() < 0.4
    assert any("beside the particle was masked in 6 of 6" in note for note in ready.notes)
    assert ready_averages(images, PIXEL, mask=False).images[:, :5, :5].mean() > 1.0


def test_contrast_is_stopped_with_words_or_said():
    images = noisy(particle())
    images[:3] *= -1
    with pytest.raises(ValueError, match="lighter than their background in 3 averages and darker in 3 of 6"):
        ready_averages(images, PIXEL)
    assert ready_averages(-images[3:], PIXEL, "dark").images.mean() > 0
    noise = np.random.default_rng(0).standard_normal((20, BOX, BOX))
    assert "not clear" in ready_averages(noise, PIXEL).notes[0]
    assert "seem to be white" in ready_averages(images[3:], PIXEL, "dark").notes[0]


def test_a_grey_box_is_no_density():
    with pytest.raises(ValueError, match=r"average 1 has a background of 60 .*fill the whole box"):
        initial_model(60 + np.round(190 * particle()), PIXEL, InitialModel(restarts=1))
