"""The task on simulated particles whose classes and poses are known: against clean images, and with bad input."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from sets import BOX, PIXEL_A, SHAPES, defocus, simulate

from vitreous.averages.deconvolve import Deconvolve, deconvolve, defocus_groups, prepare_deconvolution
from vitreous.fourier import centred_irfft2, centred_rfft2
from vitreous.matching import restore
from vitreous.optics import ctf_2d, phase_flip
from vitreous.particles import ParticleSet, Table, read_particles, write_mrc_stack, write_star

N, DIAMETER_A = 400, 130.0
CLEAN = np.stack([shape.image(BOX) for shape in SHAPES])


def correlation(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Of images, over all pixels."""
    a, b = (x.reshape(len(x), -1) - x.reshape(len(x), -1).mean(1, keepdims=True) for x in (a, b))
    return (a * b).sum(1) / np.sqrt((a * a).sum(1) * (b * b).sum(1))


def write_particles(folder: Path, images: np.ndarray, columns: dict, optics: dict | None = None) -> ParticleSet:
    """A stack and a STAR file in RELION's form."""
    write_mrc_stack(folder / "p.mrcs", images, PIXEL_A)
    names = [f"{i + 1:06d}@p.mrcs" for i in range(len(images))]
    table = {"rlnImageName": names, "rlnOpticsGroup": [1] * len(images), **columns}
    group = {"rlnOpticsGroup": [1], "rlnImagePixelSize": [PIXEL_A], "rlnImageSize": [BOX], **(optics or {})}
    blocks = {"optics": Table.from_arrays(group), "particles": Table.from_arrays(table)}
    write_star(folder / "p.star", blocks)
    return read_particles(folder / "p.star")


MICROSCOPE = {"rlnVoltage": [300.0], "rlnSphericalAberration": [2.7], "rlnAmplitudeContrast": [0.1]}


@pytest.fixture(scope="module")
def classified(tmp_path_factory) -> ParticleSet:
    """400 particles of four shapes at SNR 0.2, their true classes and poses; astigmatic."""
    ctf = defocus(N, 2, astigmatism_A=800.0)
    particles, truth = simulate(N, 0.2, 2, ctf=ctf)
    columns = {
        "rlnDefocusU": ctf.defocus_u_A,
        "rlnDefocusV": ctf.defocus_v_A,
        "rlnDefocusAngle": ctf.defocus_angle_deg,
        "rlnClassNumber": truth.label + 1,
        "rlnAnglePsi": truth.psi_deg,
        "rlnOriginXAngst": truth.origin_px[:, 0] * PIXEL_A,
        "rlnOriginYAngst": truth.origin_px[:, 1] * PIXEL_A,
    }
    return write_particles(tmp_path_factory.mktemp("particles"), particles.images, columns, MICROSCOPE)


@pytest.fixture(scope="module")
def result(classified):
    return deconvolve(classified, particle_diameter_A=DIAMETER_A)


def test_averages_are_counts_on_a_clean_ground(result):
    assert (result.averages >= 0).all()
    assert (result.averages[result.masks == 0] == 0).all()
    assert (result.masks == 0).mean() > 0.3
    assert result.converged.all()
    assert result.messages == []
    assert list(result.class_number) == [1, 2, 3, 4]
    assert list(result.population) == [100] * 4


def test_they_are_nearer_to_the_truth_than_other_averages(classified, result):
    run = prepare_deconvolution(classified, Deconvolve(particle_diameter_A=DIAMETER_A))
    members = run.members
    wiener = restore(classified.read, run.preparation, run.ctf, members, np.arange(N) % 2, 4).full.numpy()
    found = correlation(result.averages, CLEAN)
    assert (found > 0.97).all()
    assert (found > correlation(wiener, CLEAN)).all()
    assert (found > 0.1 + correlation(result.plain, CLEAN)).all()


def test_they_have_the_low_frequencies_that_phase_flipping_lacks(classified, result):
    ctf = ctf_2d(classified.ctf, BOX, PIXEL_A)
    flipped = centred_irfft2(phase_flip(centred_rfft2(torch.from_numpy(classified.read(slice(None)))), ctf), BOX)
    columns = {n: classified.table[n] for n in classified.table.names if n.startswith(("rlnClass", "rlnA", "rlnOr"))}
    folder = classified.path.parent / "flipped"
    folder.mkdir(exist_ok=True)
    before = deconvolve(
        write_particles(folder, flipped.numpy(), columns), particle_diameter_A=DIAMETER_A, smoothness=1e-3
    ).plain

    def low_share(images: np.ndarray) -> np.ndarray:
        """Amplitude on ring 1 relative to rings 3 to 5, over what it is in the truth."""
        ft, true = (np.abs(np.fft.fft2(x)) for x in (images, CLEAN))
        k = np.fft.fftfreq(BOX, 1 / BOX)
        ring = np.round(np.hypot(k[:, None], k)).astype(int)
        low, middle = ring == 1, (ring >= 3) & (ring <= 5)
        return (ft[:, low].mean(1) / ft[:, middle].mean(1)) / (true[:, low].mean(1) / true[:, middle].mean(1))

    assert (low_share(before) < 0.6).all()
    assert (np.abs(low_share(result.averages) - 1) < 0.25).all()


def test_phase_flipped_particles_give_the_same_averages(classified, result):
    ctf = ctf_2d(classified.ctf, BOX, PIXEL_A)
    flipped = centred_irfft2(phase_flip(centred_rfft2(torch.from_numpy(classified.read(slice(None)))), ctf), BOX)
    columns = {n: classified.table[n] for n in classified.table.names if n != "rlnImageName"}
    folder = classified.path.parent / "flipped-ctf"
    folder.mkdir(exist_ok=True)
    particles = write_particles(folder, flipped.numpy(), columns, MICROSCOPE)
    found = deconvolve(particles, particle_diameter_A=DIAMETER_A, phase_flipped=True)
    assert (correlation(found.averages, result.averages) > 0.97).all()


def test_steps_do_not_change_the_result(classified, result, monkeypatch):
    steps = []
    monkeypatch.setattr("vitreous.averages.deconvolve.task.STEP_BYTES", 1)
    tight = deconvolve(classified, particle_diameter_A=DIAMETER_A, on_step=steps.append)
    assert [info["classes_done"] for info in steps] == [1, 2, 3, 4]
    assert np.allclose(tight.averages, result.averages, atol=1e-4)


def test_the_scale_of_the_images_does_not_matter_when_they_are_not_normalised(classified, tmp_path, result):
    columns = {n: classified.table[n] for n in classified.table.names if n != "rlnImageName"}
    scaled = write_particles(tmp_path, 7.0 * classified.read(slice(None)), columns, MICROSCOPE)
    found = deconvolve(scaled, particle_diameter_A=DIAMETER_A, normalise=False)
    assert (correlation(found.averages, result.averages) > 0.99).all()
    assert found.averages.max() / result.averages.max() == pytest.approx(1, abs=0.2)


def test_bad_images_classes_and_poses_are_named_and_left_out(classified, tmp_path):
    images = classified.read(slice(None))
    columns = {n: classified.table[n] for n in classified.table.names if n != "rlnImageName"}
    third = columns["rlnClassNumber"] == 3
    images[third] = np.nan
    columns["rlnClassNumber"] = np.where(columns["rlnClassNumber"] == 4, 9, columns["rlnClassNumber"])
    psi = columns["rlnAnglePsi"].copy()
    psi[np.flatnonzero(columns["rlnClassNumber"] == 1)[:5]] = np.nan
    columns["rlnAnglePsi"] = psi
    found = deconvolve(write_particles(tmp_path, images, columns, MICROSCOPE), particle_diameter_A=DIAMETER_A)
    assert list(found.class_number) == [1, 2, 9]
    assert list(found.population) == [95, 100, 100]
    assert np.isfinite(found.averages).all()
    assert any("105 particles have no usable image, pose or CTF" in m for m in found.messages)
    assert any("left out: 3" in m for m in found.messages)


def test_mirrored_particles_are_told(classified):
    flips = np.arange(len(classified)) % 3 == 0
    told = prepare_deconvolution(classified.with_columns(rlnIsFlip=flips.astype(int)), Deconvolve()).messages
    assert [f"{flips.sum():,} particles have rlnIsFlip 1" in message for message in told] == [True]
    assert prepare_deconvolution(classified.with_columns(rlnIsFlip=0 * flips), Deconvolve()).messages == ()


def test_one_defocus_is_one_group(tmp_path):
    ctf = replace(defocus(40, 3), defocus_u_A=np.full(40, 15000.0), defocus_v_A=np.full(40, 15000.0))
    particles, truth = simulate(40, 1.0, 3, ctf=ctf, shapes=SHAPES[:1])
    columns = {"rlnDefocusU": ctf.defocus_u_A, "rlnClassNumber": truth.label + 1, "rlnAnglePsi": truth.psi_deg}
    columns |= {"rlnOriginXAngst": 5 * truth.origin_px[:, 0], "rlnOriginYAngst": 5 * truth.origin_px[:, 1]}
    found = deconvolve(write_particles(tmp_path, particles.images, columns, MICROSCOPE), particle_diameter_A=DIAMETER_A)
    assert list(found.group_defocus_A) == [15000.0]
    assert correlation(found.averages, CLEAN[:1])[0] > 0.9


def test_single_averages_need_no_poses(tmp_path):
    noisy = CLEAN - 0.3 + 0.02 * np.random.default_rng(1).normal(size=CLEAN.shape)
    noisy[2] = 1.0
    write_mrc_stack(tmp_path / "averages.mrcs", 100 * noisy, PIXEL_A)
    found = deconvolve(read_particles(tmp_path / "averages.mrcs"), single=True)
    assert list(found.class_number) == [1, 2, 4]
    assert (found.averages >= 0).all()
    assert (correlation(found.averages, CLEAN[[0, 1, 3]]) > 0.97).all()
    assert any("left out: 3" in m for m in found.messages)
    dark = write_particles(tmp_path, -CLEAN.astype(np.float32), {})
    assert any("dark on light" in m for m in deconvolve(dark, single=True).messages)
    assert not any("dark" in m for m in deconvolve(dark, single=True, invert_contrast=True).messages)


def test_single_averages_with_a_ctf_lose_it(tmp_path):
    ctf = defocus(4, 5)
    seen = centred_irfft2(centred_rfft2(torch.from_numpy(CLEAN).float()) * ctf_2d(ctf, BOX, PIXEL_A), BOX).numpy()
    seen += 0.02 * np.random.default_rng(2).normal(size=seen.shape)
    particles = write_particles(tmp_path, seen, {"rlnDefocusU": ctf.defocus_u_A}, MICROSCOPE)
    found = deconvolve(particles, single=True, smoothness=1.0)
    assert (correlation(found.averages, CLEAN) > 0.1 + correlation(seen, CLEAN)).all()


@pytest.mark.parametrize(
    ("columns", "optics", "chosen", "said"),
    [
        ({}, {}, {}, "rlnClassNumber, needed for averaging classes"),
        ({"rlnClassNumber": [1] * 8}, {}, {}, "rlnAnglePsi, needed for turning"),
        ({"rlnClassNumber": [0] * 8, "rlnAnglePsi": [0.0] * 8}, {}, {}, "none of them is in a class"),
        ({}, {}, {"particle_diameter_A": 500.0}, "does not leave a background"),
        (
            {"rlnClassNumber": [1] * 8, "rlnAnglePsi": [0.0] * 8, "rlnDefocusU": [1e4] * 8},
            {**MICROSCOPE, "rlnCtfDataAreCtfPremultiplied": [1]},
            {"single": True},
            "premultiplied",
        ),
        ({"rlnClassNumber": [1] * 8, "rlnAnglePsi": [0.0] * 8}, {}, {"normalise": False}, "say single"),
        ({}, {}, {"single": True}, "no class has an image that can be used"),
    ],
)
def test_what_cannot_be_used_is_named(tmp_path, columns, optics, chosen, said):
    images = np.random.default_rng(0).normal(size=(8, BOX, BOX)).astype(np.float32)
    if said.endswith(("can be used", "say single")):
        images[:, np.hypot(*np.mgrid[-BOX // 2 : BOX // 2, -BOX // 2 : BOX // 2]) > 0.3 * BOX] = 0
        images *= "single" not in chosen
    particles = write_particles(tmp_path, images, columns, optics)
    with pytest.raises(ValueError, match=said):
        deconvolve(particles, **chosen)


def test_images_that_are_all_empty_are_said(tmp_path):
    columns = {"rlnClassNumber": [1] * 8, "rlnAnglePsi": [0.0] * 8}
    particles = write_particles(tmp_path, np.zeros((8, BOX, BOX), np.float32), columns, {})
    with pytest.raises(ValueError, match="every image is constant"):
        deconvolve(particles)


@pytest.mark.parametrize(
    "wrong", [{"groups": 0}, {"smoothness": 0.0}, {"mask_threshold": 1.0}, {"tolerance": np.inf}, {"mask_edge_A": -1.0}]
)
def test_wrong_settings_are_named(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Deconvolve(**wrong)


def test_groups_are_chosen_over_the_data_set(classified, result):
    mean = (classified.table["rlnDefocusU"] + classified.table["rlnDefocusV"]) / 2
    assert list(result.group_population) == list(np.bincount(defocus_groups(mean, 7)))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_finds_the_same_averages(classified, result):
    other = deconvolve(classified, particle_diameter_A=DIAMETER_A, device="cuda")
    np.testing.assert_allclose(other.averages, result.averages, atol=0.02 * result.averages.max())
