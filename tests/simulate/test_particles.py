"""Simulated particles: independence of batches, stated SNR, truth that explains the images."""

import dataclasses

import numpy as np
import pytest
import torch
from scipy.stats import kstest

from vitreous.fourier import central_slices, centred_irfft2, prepare_volume, shift_phase
from vitreous.optics import CTFParameters, add_noise_images, ctf_2d, empty_noise_sums, noise_power
from vitreous.rotations import direction_distance_deg, euler_to_matrix, viewing_directions
from vitreous.simulate import (
    JUNK_KINDS,
    SimulateSettings,
    clean_images,
    load_volumes,
    signal_variance,
    simulate_batches,
)
from vitreous.simulate.draws import draw_classes, draw_junk, draw_shifts_px, draw_views

SMALL = SimulateSettings(source=("small",), particles=150, box_px=32, pixel_size_A=5.0, snr=0.5, seed=3)


def collect(settings: SimulateSettings, batch: int = 512) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    parts = list(simulate_batches(load_volumes(settings), settings, batch=batch))
    return np.concatenate([p[0] for p in parts]), {k: np.concatenate([p[1][k] for p in parts]) for k in parts[0][1]}


def test_results_do_not_depend_on_the_batch_size():
    settings = dataclasses.replace(SMALL, junk_fraction=0.5, noise="coloured", astigmatism_A=500.0)
    images, truth = collect(settings)
    again, truth_again = collect(settings, batch=17)
    assert np.allclose(images, again, atol=1e-4)
    assert list(truth) == list(truth_again)
    assert all((truth[k] == truth_again[k]).all() for k in truth)


def test_a_billion_particles_stream():
    settings = dataclasses.replace(SMALL, particles=10**9)
    images, truth = next(simulate_batches(load_volumes(settings), settings, batch=8))
    assert images.shape == (8, 32, 32)
    assert len(truth["rlnAngleRot"]) == 8


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_makes_the_same_particles():
    settings = dataclasses.replace(SMALL, particles=40, noise="coloured", junk_fraction=0.3)
    volumes = load_volumes(settings)
    (on_cpu, truth), (on_gpu, truth_gpu) = (
        next(simulate_batches(volumes, settings, device=d)) for d in ("cpu", "cuda")
    )
    assert np.allclose(on_cpu, on_gpu, atol=1e-3)
    assert all((truth[k] == truth_gpu[k]).all() for k in truth)


def test_a_larger_set_begins_with_the_smaller_one():
    images, _ = collect(dataclasses.replace(SMALL, particles=40))
    more, _ = collect(dataclasses.replace(SMALL, particles=80))
    assert np.allclose(images, more[:40], atol=1e-4)


def test_the_seed_changes_everything():
    images, truth = collect(SMALL)
    other, other_truth = collect(dataclasses.replace(SMALL, seed=4))
    assert abs(np.corrcoef(images.ravel(), other.ravel())[0, 1]) < 0.3
    assert (truth["rlnAngleRot"] != other_truth["rlnAngleRot"]).all()


def test_truth_explains_the_images():
    """Projecting with the truth columns alone gives what is under the noise."""
    settings = dataclasses.replace(SMALL, snr=100.0, astigmatism_A=800.0, phase_shift_deg=30.0, b_factor_A2=50.0)
    images, truth = collect(settings)
    volume_ft = prepare_volume(load_volumes(settings)[0])
    angles = np.stack([truth[f"rlnAngle{name}"] for name in ("Rot", "Tilt", "Psi")], axis=1)
    origin = np.stack([truth["rlnOriginXAngst"], truth["rlnOriginYAngst"]], axis=1)
    slices = central_slices(volume_ft, euler_to_matrix(torch.from_numpy(angles)).float(), 32)
    slices = slices * shift_phase(-torch.from_numpy(origin).float() / 5.0, 32)
    count = len(images)
    ctf = CTFParameters(
        defocus_u_A=truth["rlnDefocusU"],
        defocus_v_A=truth["rlnDefocusV"],
        defocus_angle_deg=truth["rlnDefocusAngle"],
        phase_shift_deg=truth["rlnPhaseShift"],
        voltage_kV=np.full(count, 300.0),
        cs_mm=np.full(count, 2.7),
        amplitude_contrast=np.full(count, 0.1),
        b_factor_A2=np.full(count, 50.0),
    )
    expected = centred_irfft2(slices * ctf_2d(ctf, 32, 5.0), 32).numpy()
    assert min(np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in zip(images, expected, strict=True)) > 0.98
    assert np.allclose(truth["rlnDefocusU"] - truth["rlnDefocusV"], 800.0)
    assert (
        len(np.unique(truth["rlnDefocusAngle"]))
        == settings.defocus_groups
        == len(np.unique(truth["rlnMicrographName"]))
    )


def test_snr_is_as_defined():
    settings = dataclasses.replace(SMALL, particles=400, snr=0.2, shift_max_px=1.0)
    images, _ = collect(settings)
    clean, _ = clean_images([prepare_volume(v) for v in load_volumes(settings)], settings, np.arange(400))
    clean = (clean - clean.mean((-2, -1), keepdim=True)).numpy()
    noise_sd = np.sqrt(clean.var(axis=(1, 2)).mean() / 0.2)
    slope = (images * clean).sum() / (clean**2).sum()  # images = clean / noise_sd + noise of variance 1
    assert slope * noise_sd == pytest.approx(1.0, abs=0.04)


def test_background_is_normalised_and_particles_are_white():
    images, _ = collect(SMALL)
    axis = np.arange(32) - 16
    outside = axis[:, None] ** 2 + axis**2 > 15**2
    assert np.abs(images[:, outside].mean(1)).max() < 1e-4
    assert images[:, outside].std(1) == pytest.approx(np.ones(150), abs=1e-4)
    assert images.mean(0)[10:22, 10:22].mean() > 0.1
    assert images.dtype == np.float32


def test_coloured_noise_has_the_stated_spectrum():
    settings = dataclasses.replace(SMALL, particles=400, noise="coloured", junk_fraction=1.0, junk_kinds=("empty",))
    images, truth = collect(settings)
    assert set(truth["vtrJunk"]) == {"empty"}
    assert set(truth["vtrTrueVolume"]) == {0}
    sums = add_noise_images(empty_noise_sums(1, 32), torch.from_numpy(images), torch.zeros(400, dtype=torch.int64))
    found = noise_power(sums)[0]
    k = torch.arange(17) / (32 * 5.0)
    shape = 0.6 + 5.4 / (1.0 + (40.0 * k) ** 2)
    ratio = found[2:] / shape[2:]
    assert (ratio / ratio.mean() - 1).abs().max() < 0.1


def test_junk_kinds_and_fraction():
    settings = dataclasses.replace(SMALL, particles=4000, junk_fraction=0.2)
    junk = draw_junk(settings, np.arange(4000))
    counts = {kind: (junk == kind).sum() for kind in JUNK_KINDS}
    assert (junk != "none").mean() == pytest.approx(0.2, abs=0.03)
    assert all(140 < c < 260 for c in counts.values())


def test_junk_looks_like_its_name():
    base = dataclasses.replace(SMALL, snr=1000.0, particles=60, junk_fraction=1.0)
    mass = {}
    for kind in JUNK_KINDS:
        settings = dataclasses.replace(base, junk_kinds=(kind,))
        mass[kind] = clean_images([prepare_volume(v) for v in load_volumes(settings)], settings, np.arange(60))[0]
    good = clean_images([prepare_volume(v) for v in load_volumes(base)], SMALL, np.arange(60))[0]
    assert mass["empty"].abs().max() == 0.0
    ratio = {kind: (mass[kind].sum((-2, -1)) / good.sum((-2, -1))) for kind in JUNK_KINDS}  # projections per image
    assert ratio["off-centre"].median() == pytest.approx(1.0, abs=1e-3)
    assert ratio["neighbours"].round().unique().tolist() == [2.0, 3.0]
    assert ratio["aggregates"].round().unique().tolist() == [4.0, 5.0, 6.0]
    weight = (torch.arange(32) - 16.0).abs()
    spread = [
        (m.clamp(min=0).sum(1) @ weight / m.clamp(min=0).sum((-2, -1))).mean() for m in (good, mass["off-centre"])
    ]
    assert spread[1] > 1.5 * spread[0]


def test_several_volumes_in_their_proportions():
    settings = SimulateSettings(
        source=("small", "channel"), proportions=(3.0, 1.0), box_px=40, pixel_size_A=5.0, particles=60, snr=50.0
    )
    classes = draw_classes(settings, np.arange(8000))
    assert (classes == 0).mean() == pytest.approx(0.75, abs=0.02)
    images, truth = collect(settings)
    assert set(truth["vtrTrueVolume"]) == {1, 2}
    alone, _ = collect(dataclasses.replace(settings, source=("small",), proportions=()))
    first = truth["vtrTrueVolume"] == 1
    same = [np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in zip(images, alone, strict=True)]
    assert np.min(np.array(same)[first]) > 0.97 > np.max(np.array(same)[~first])


def test_uniform_orientations_are_uniform():
    angles = draw_views(SMALL, "view", np.arange(5000))
    assert kstest(angles[:, 0], "uniform", args=(-180, 360)).pvalue > 1e-3
    assert kstest(np.cos(np.deg2rad(angles[:, 1])), "uniform", args=(-1, 2)).pvalue > 1e-3
    assert kstest(angles[:, 2], "uniform", args=(-180, 360)).pvalue > 1e-3


def test_preferred_orientations_crowd_about_a_few_axes():
    settings = dataclasses.replace(SMALL, orientations="preferred", preferred_axes=1, kappa=20.0)
    angles = torch.from_numpy(draw_views(settings, "view", np.arange(4000)))
    directions = viewing_directions(euler_to_matrix(angles))
    mean = directions.mean(0)
    assert mean.norm().item() == pytest.approx(1 / np.tanh(20.0) - 1 / 20.0, abs=0.01)  # of von Mises and Fisher
    assert direction_distance_deg(directions, mean).median() < 25
    flat = draw_views(dataclasses.replace(settings, kappa=0.0), "view", np.arange(4000))
    assert viewing_directions(euler_to_matrix(torch.from_numpy(flat))).mean(0).norm() < 0.05


def test_shifts():
    uniform = draw_shifts_px(SMALL, "shift", np.arange(5000))
    assert np.abs(uniform).max() <= 2.0
    assert kstest(uniform[:, 0], "uniform", args=(-2, 4)).pvalue > 1e-3
    gaussian = draw_shifts_px(dataclasses.replace(SMALL, shift_sd_px=1.5), "shift", np.arange(5000))
    assert kstest(gaussian[:, 1], "norm", args=(0, 1.5)).pvalue > 1e-3


def test_signal_variance_is_that_of_the_set():
    settings = dataclasses.replace(SMALL, particles=500)
    prepared = [prepare_volume(v) for v in load_volumes(settings)]
    clean, _ = clean_images(prepared, settings, np.arange(500))
    assert signal_variance(prepared, settings) == pytest.approx(clean.var((-2, -1)).mean().item(), rel=0.05)


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"snr": 0.0}, "snr"),
        ({"particles": 0}, "particles"),
        ({"orientations": "sideways"}, "orientations"),
        ({"noise": "pink"}, "noise"),
        ({"junk_kinds": ("gold",)}, "junk_kinds"),
        ({"junk_fraction": 1.5}, "junk_fraction"),
        ({"proportions": (1.0, 2.0)}, "proportions"),
        ({"defocus_min_A": 3e4}, "defocus_min_A"),
        ({"source": ()}, "source"),
        ({"shift_sd_px": -1.0}, "shift_sd_px"),
        ({"amplitude_contrast": 7.0}, "amplitude_contrast"),
    ],
)
def test_settings_that_make_no_sense_are_named(change, name):
    with pytest.raises(ValueError, match=name):
        SimulateSettings(**change)


def test_volumes_must_belong_to_the_settings():
    with pytest.raises(ValueError, match="volumes: expected"):
        next(simulate_batches(torch.zeros(1, 16, 16, 16), SMALL))
    with pytest.raises(ValueError, match="no contrast"):
        next(simulate_batches(torch.zeros(1, 32, 32, 32), SMALL))
