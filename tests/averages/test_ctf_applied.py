"""Images whose phases were flipped, and images that were multiplied by their CTF: the same results as before that."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from sets import BOX, PIXEL_A, SHAPES, adjusted_rand_index, defocus, settings, simulate

from vitreous.averages.class2d import class2d
from vitreous.fourier import centred_irfft2, centred_rfft2
from vitreous.matching import Alignments, ImagePreparation, NoiseRows, prepare_particles, restore
from vitreous.optics import ctf_2d
from vitreous.testing import ArrayParticles

N = 320
PREPARATION = ImagePreparation.for_box(BOX, PIXEL_A, 130.0, normalise=False)


@pytest.fixture(scope="module")
def kinds():
    """(truth, {what was done: particles}): plain, phase-flipped and premultiplied versions of the same images."""
    ctf = defocus(N, 3, 2000.0)
    plain, truth = simulate(N, 0.2, 7, ctf=ctf)
    transfer, ones = ctf_2d(ctf, BOX, PIXEL_A), np.ones(N)
    sets = {"plain": plain}
    for name, factor, flag in (
        ("flipped", transfer.sign(), {"phase_flipped": ones}),
        ("premultiplied", transfer, {"premultiplied": ones}),
    ):
        images = centred_irfft2(centred_rfft2(torch.from_numpy(plain.images)) * factor, BOX).numpy()
        sets[name] = ArrayParticles(images=images, pixel_size_A=PIXEL_A, ctf=replace(ctf, **flag))
    return truth, sets


def test_averages_at_known_alignments_are_the_same(kinds):
    truth, sets = kinds
    known = Alignments(
        particle=np.arange(N),
        reference=truth.label,
        psi_rad=np.deg2rad(truth.psi_deg),
        origin_A=truth.origin_px * PIXEL_A,
        mirror=np.zeros(N, bool),
    )
    found = {
        name: restore(p.read, PREPARATION, p.ctf, known, np.arange(N) % 2, len(SHAPES)).full for name, p in sets.items()
    }
    for name in ("flipped", "premultiplied"):
        # An image cannot hold all that an astigmatic CTF makes of the Nyquist frequency.
        assert torch.allclose(found[name], found["plain"], atol=2e-3 * float(found["plain"].abs().max()))


def test_noise_power_is_that_of_the_noise_before_the_ctf():
    """Noise of variance 1, multiplied by a CTF, has the noise power 1 still: it is divided by mean C^2."""
    ctf = replace(defocus(N, 3), premultiplied=np.ones(N))
    white = torch.from_numpy(np.random.default_rng(0).normal(size=(N, BOX, BOX)).astype(np.float32))
    images = centred_irfft2(centred_rfft2(white) * ctf_2d(ctf, BOX, PIXEL_A), BOX).numpy()
    p = ArrayParticles(images=images, pixel_size_A=PIXEL_A, ctf=ctf)
    data = prepare_particles(p.read, N, PREPARATION, rings=8, ctf=p.ctf)
    power = (data.group_power[0] / data.white_noise_power).numpy()
    assert power[2:] == pytest.approx(1, abs=0.2), "the mask smears C over neighbouring rings"
    made = NoiseRows(data, 1)[np.arange(N)]
    size = (data.basis.unpack(torch.from_numpy(made)).abs().square() * data.basis.multiplicity).sum(2)
    gain = data.noise_gain(np.arange(N)).square()
    assert (size.mean(0) / gain.mean(0) / data.white_noise_power)[2:].numpy() == pytest.approx(power[2:], rel=0.15)


def gain_of(result) -> np.ndarray:
    """(3,) regression of the averages on their clean images in three bands of frequency, mean over the classes."""
    rings = np.hypot(*np.meshgrid(np.fft.fftfreq(BOX), np.fft.rfftfreq(BOX), indexing="ij"))
    out = []
    for average in result.averages:
        a = np.fft.rfft2(average)
        best = max(
            (np.fft.rfft2(shape.image(BOX, psi)) for shape in SHAPES for psi in np.arange(0, 360, 3.0)),
            key=lambda c: float(np.real(np.vdot(c, a)) / np.linalg.norm(c)),
        )
        bands = [(low <= rings) & (rings < low + 0.05) for low in (0.05, 0.1, 0.15)]
        out.append([np.real(np.vdot(best[b], a[b])) / np.vdot(best[b], best[b]).real for b in bands])
    return np.mean(out, 0)


def test_classes_are_those_of_the_images_as_they_were_recorded(kinds):
    truth, sets = kinds
    gain = {}
    for name, p in sets.items():
        result = class2d(p, settings(normalise=False, iterations=10))
        assert adjusted_rand_index(result.class_number - 1, truth.label) > 0.9, name
        assert result.found_signal
        gain[name] = gain_of(result)
    for name in ("flipped", "premultiplied"):
        assert gain[name] == pytest.approx(gain["plain"], rel=0.15), "contrast and amplitudes, at all frequencies"
