"""``vitreous postprocess``: files, figures, report, masks, and what it says about bad input."""

import numpy as np
import pytest

from vitreous.jobs import read_manifest
from vitreous.jobs.results.postprocess import read_postprocessed
from vitreous.jobs.tasks.postprocess import PostProcess, run_postprocess
from vitreous.particles import Volume, read_star, read_volume, write_volume
from vitreous.simulate import phantom
from vitreous.volumes import apply_b_factor, fourier_resize, half_map_fsc, mean_of_halves, postprocess, spherical_mask

N, PIXEL, ORIGIN = 36, 3.5, (-7.0, 10.5, 0.0)


def halves(level: float = 0.05) -> tuple[Volume, Volume]:
    true = Volume(data=phantom(N, PIXEL, "small").numpy(), pixel_size_A=PIXEL, origin_A=ORIGIN)
    true = apply_b_factor(true, 150.0)
    rng = np.random.default_rng(0)
    one, two = (true.with_data(true.data + level * rng.normal(size=true.data.shape)) for _ in range(2))
    return one, two


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("halves")
    for name, half in zip(("run_half1.mrc", "run_half2.mrc"), halves(), strict=True):
        write_volume(folder / name, half)
    return folder / "run_half1.mrc", folder / "run_half2.mrc"


@pytest.fixture(scope="module")
def folder(files, tmp_path_factory):
    path = tmp_path_factory.mktemp("postprocess") / "out"
    run_postprocess(files, path)
    return path


def test_figures_and_files_are_those_of_the_function(files, folder):
    expected = postprocess(*(read_volume(path) for path in files))
    found, summary = read_postprocessed(folder), read_manifest(folder).summary
    assert summary["resolution_A"] == pytest.approx(expected.resolution_A, abs=0.01)
    assert found.resolution_A == pytest.approx(expected.resolution_A, abs=1e-3)
    assert 2 * PIXEL < found.resolution_A < 14.0
    for name in ("sharpened", "masked", "mask", "locally_filtered"):
        volume = getattr(found, name)
        assert np.array_equal(volume.data, getattr(expected, name).data), name
        assert volume.origin_A == ORIGIN
    assert np.array_equal(found.local.data, expected.local.volume.data)
    assert np.abs(found.masked.data - found.sharpened.data * found.mask.data).max() < 1e-5
    fsc = read_star(folder / "postprocess_fsc.star")["fsc"]
    corrected = fsc.numbers("rlnFourierShellCorrelationCorrected")
    assert np.abs(corrected - expected.fsc.corrected).max() < 1e-6
    assert (fsc.numbers("vtrConeLowest") <= fsc.numbers("vtrConeHighest")).all()
    assert (folder / "postprocess_fsc.xml").read_text().count("<coordinate>") == N // 2 + 1
    assert summary["cone_resolution_best_A"] <= summary["cone_resolution_median_A"]
    assert summary["local_resolution_best_tenth_A"] <= summary["local_resolution_worst_tenth_A"]


def test_the_report_shows_the_curves(folder):
    page = (folder / "report.html").read_text()
    words = ("Fourier shell correlation", "Guinier plot", "Resolution along directions", "Local resolution", "phases")
    for word in words:
        assert word in page, word
    assert "nan" not in page.lower().split("provenance")[0].replace("nanmax", "")


def test_the_other_half_is_found_by_its_name(vitreous, files, folder, tmp_path):
    for given, out in ((files[0], tmp_path / "o"), (files[0].parent, tmp_path / "p")):
        ended = vitreous("postprocess", given, "-o", out)
        assert ended.code == 0, ended.err
        assert "resolution" in ended.out
        ours, theirs = (read_volume(path / "postprocess.mrc").data for path in (out, folder))
        assert np.array_equal(ours, theirs)


def test_masks_that_are_given(vitreous, files, tmp_path):
    half = read_volume(files[0])
    mask = spherical_mask(half, 80.0)
    write_volume(tmp_path / "mask.mrc", mask)
    ended = vitreous("postprocess", *files, "--mask", tmp_path / "mask.mrc", "--no-local", "-o", tmp_path / "o")
    assert ended.code == 0, ended.err
    found = read_postprocessed(tmp_path / "o")
    assert np.array_equal(found.mask.data, mask.data)
    assert found.local is None
    assert found.resolution_A == pytest.approx(half_map_fsc(half, read_volume(files[1]), mask).resolution_A, abs=1e-3)
    write_volume(tmp_path / "small.mrc", fourier_resize(mask, 24))
    ended = vitreous("postprocess", *files, "--mask", tmp_path / "small.mrc", "--no-local", "-o", tmp_path / "p")
    assert "has 24 voxels of 5.25 Å and was resampled to 36 of 3.5 Å" in ended.out
    assert np.abs(read_postprocessed(tmp_path / "p").mask.data - mask.data).max() < 0.25  # its edge in coarser voxels
    ended = vitreous(
        "postprocess", *files, "--mask-threshold", "0.2", "--mask-extend-A", "0", "--no-local", "-o", tmp_path / "q"
    )
    assert ended.code == 0, ended.err
    covered = (read_postprocessed(tmp_path / "q").mask.data == 1.0).mean()
    assert 0.005 < covered < (found.mask.data == 1.0).mean()


def test_a_given_b_factor_is_applied(files, tmp_path):
    for b in (-100.0, 0.0):
        run_postprocess(files, tmp_path / f"{b:g}", PostProcess(b_factor_A2=b, local=False))
    sharp, plain = (read_postprocessed(tmp_path / name) for name in ("-100", "0"))
    assert sharp.b_factor_A2 == -100.0
    k, amplitude = 6, {}
    for name, found in (("sharp", sharp), ("plain", plain)):
        amplitude[name] = abs(np.fft.fftn(found.sharpened.data)[0, 0, k])
    assert amplitude["sharp"] / amplitude["plain"] == pytest.approx(np.exp(25.0 * (k / (N * PIXEL)) ** 2), rel=1e-3)


def test_noise_claims_nothing_and_says_so(vitreous, tmp_path):
    mask = spherical_mask(halves()[0], 60.0)
    write_volume(tmp_path / "mask.mrc", mask)
    for i in (1, 2):
        data = np.random.default_rng(i).normal(size=(N, N, N))
        write_volume(tmp_path / f"half{i}.mrc", Volume(data=data, pixel_size_A=PIXEL))
    ended = vitreous("postprocess", tmp_path / "half1.mrc", "--mask", tmp_path / "mask.mrc", "-o", tmp_path / "o")
    assert ended.code == 0, ended.err
    assert "nothing is resolved" in ended.out
    found, summary = read_postprocessed(tmp_path / "o"), read_manifest(tmp_path / "o").summary
    assert found.resolution_A == np.inf
    assert summary["resolution_A"] is None
    assert summary["cone_resolution_best_A"] is None
    assert found.local is None
    mean = mean_of_halves(*(read_volume(tmp_path / f"half{i}.mrc") for i in (1, 2)))
    assert np.array_equal(found.sharpened.data, mean.data)
    page = (tmp_path / "o" / "report.html").read_text()
    assert "do not agree beyond chance" in page


def test_errors_teach(vitreous, files, tmp_path):
    def words(*given) -> str:
        ended = vitreous("postprocess", *given, "-o", tmp_path / "o")
        assert ended.code == 1
        assert not (tmp_path / "o").exists()
        return ended.err

    one, two = (read_volume(path) for path in files)
    write_volume(tmp_path / "copy.mrc", one)
    write_volume(tmp_path / "coarse.mrc", fourier_resize(two, 24))
    write_volume(tmp_path / "other_pixel.mrc", Volume(data=two.data, pixel_size_A=4.0))
    assert "are the same file" in words(files[0], files[0])
    assert "both are the same map" in words(files[0], tmp_path / "copy.mrc")
    assert "same box, found 36 x 36 x 36 and 24 x 24 x 24" in words(files[0], tmp_path / "coarse.mrc")
    assert "pixel sizes 3.5 and 4 A differ" in words(files[0], tmp_path / "other_pixel.mrc")
    assert "half maps are two" in words(tmp_path / "copy.mrc")
    assert "expected two files, found 3" in words(*files, tmp_path / "copy.mrc")
    assert "is it a map?" in words(*files, "--mask", files[0])
    write_volume(tmp_path / "nothing.mrc", one.with_data(np.zeros((N, N, N))))
    assert "nothing.mrc covers nothing" in words(*files, "--mask", tmp_path / "nothing.mrc")
    assert "leave one of them out" in words(*files, "--mask", tmp_path / "nothing.mrc", "--mask-threshold", "0.1")
    assert "nothing is above the threshold 99" in words(*files, "--mask-threshold", "99")
    assert "expected one map with half1 in its name, found none" in words(tmp_path)
