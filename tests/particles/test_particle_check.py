import json

import numpy as np
import pytest

from vitreous.particles import Table, check_particles, read_particles, write_mrc_stack, write_star

N, L = 60, 32


def disc():
    axis = np.arange(L) - L // 2
    return (np.hypot(axis[:, None], axis[None, :]) < 0.25 * L).astype(np.float32)


@pytest.fixture
def make(tmp_path):
    """Write images and a STAR file and return the check of it."""

    def build(images, *, columns=None, frames=None, name="p", **options):
        write_mrc_stack(tmp_path / f"{name}.mrcs", images, 3.0)
        frames = range(1, len(images) + 1) if frames is None else frames
        table = {"rlnImageName": [f"{i:06d}@{name}.mrcs" for i in frames], "rlnMicrographName": ["m"] * len(frames)}
        table |= {"rlnImagePixelSize": [3.0] * len(frames), **(columns or {})}
        write_star(tmp_path / f"{name}.star", {"particles": Table.from_arrays(table)})
        return check_particles(read_particles(tmp_path / f"{name}.star"), **options)

    return build


def noise(seed=0):
    return np.random.default_rng(seed).normal(size=(N, L, L)).astype(np.float32)


def test_bad_particles_are_found_and_do_not_stop_a_job(make):
    images = noise()
    images[3, 2, 2], images[4, 0, 0], images[7] = np.nan, np.inf, 5.0
    report = make(images, frames=[*range(1, N), N + 4])
    assert report.bad["with NaN or infinite pixels"] == (3, 4)
    assert report.bad["with all pixels equal"] == (7,)
    assert report.bad["beyond the end of their stack"] == (N - 1,)
    assert report.bad["without a readable image"] == ()
    assert report.images_checked == N - 1
    assert report.can_run
    text = "\n".join(report.lines())
    assert "bad: 2 with NaN or infinite pixels: particles 4, 5" in text
    assert json.loads(json.dumps(report.to_dict()))["can_run"] is True


@pytest.mark.parametrize(("amplitude", "verdict"), [(1.0, "white"), (-1.0, "dark"), (0.0, "unclear")])
def test_contrast(make, amplitude, verdict):
    report = make(noise() + amplitude * disc())
    assert report.contrast.verdict == verdict
    assert any("invert" in text for text in report.warnings) == (verdict == "dark")
    expected = amplitude * disc()[np.hypot(*np.mgrid[-L // 2 : L // 2, -L // 2 : L // 2]) <= 0.25 * L].mean()
    assert abs(report.contrast.difference - expected) < 5 * report.contrast.standard_error
    assert report.can_run


def test_normalisation(make):
    report = make(noise() * 0.97 + 0.02)
    assert report.background.normalised_fraction > 0.6
    assert report.background.sd == pytest.approx(0.97, abs=0.05)
    report = make(noise() * 40 + 7, name="q")
    assert report.background.normalised_fraction == 0
    assert report.background.mean == pytest.approx(7, abs=4)


def test_duplicates(make):
    images = noise()
    images[10] = images[20]
    report = make(images, frames=[1, *range(1, N)])
    assert report.duplicate_names == ((0, 1),)
    assert report.duplicate_images == ((11, 21),)
    assert "repeat the image name of another, first 1, 2" in "\n".join(report.lines())


def test_sample(make):
    images = noise()
    images[:] = np.nan
    report = make(images, sample=5, seed=1)
    assert report.images_checked == 5
    assert len(report.bad["with NaN or infinite pixels"]) == 5
    again = make(images, sample=5, seed=1)
    assert again.bad == report.bad


def test_when_a_job_cannot_run(make, tmp_path):
    images = noise()
    images[:] = 0
    report = make(images)
    assert not report.can_run
    assert "every image is constant" in report.problems[0]
    (tmp_path / "p.mrcs").unlink()
    report = check_particles(read_particles(tmp_path / "p.star"))
    assert not report.can_run
    assert report.problems[0] == "no particle has a readable image"
    assert "1 image files were not found, first p.mrcs; looked in" in report.warnings[0]
    assert report.box_px is None
    assert report.lines()[-1] == "a job cannot run"


def test_what_is_missing_and_assumed(make):
    report = make(noise(), columns={"rlnDefocusU": [10000.0] * (N - 1) + [np.nan], "rlnVoltage": [300.0] * N})
    assert report.missing == ("rlnSphericalAberration (CTF)", "rlnAmplitudeContrast (CTF)")
    assert report.usable == N, "no job could use this CTF, so that its NaN does no harm"
    assert report.defocus_range_A == (10000.0, 10000.0)
    assumed = "\n".join(report.assumptions)
    assert "no optics table (RELION 3.0): 1 optics groups" in assumed
    assert "without CTF parameters" in assumed
    assert report.can_run


def test_unusable_metadata_is_reported_not_raised(project):
    root, _ = project
    p = read_particles(root / "Select" / "particles.star").with_columns(
        rlnDefocusU=["low"] * 7, rlnImagePixelSize=[1, 2, 3, 4, 5, 6, 7], rlnImageSize=[8, 8, 8, 8, 8, 8, 9]
    )
    report = check_particles(p)
    assert not report.can_run
    assert len(report.problems) == 2, "text for a defocus, seven pixel sizes; a box that differs is one bad particle"
    assert (report.box_px, report.pixel_size_A, report.images_checked) == (8, None, 7)


def test_pixel_size_against_the_stack(project):
    root, _ = project
    p = read_particles(root / "Select" / "particles.star", pixel_size_A=3.0)
    report = check_particles(p)
    assert "the table says 3 A/pixel, the header of the first readable stack 2.5" in report.warnings
    assert report.other_blocks == ("general",)


def test_inverted_and_premultiplied(project):
    root, images = project
    p = read_particles(root / "Select" / "particles.star")
    q = p.with_columns(**{"blob/sign": [-1.0] * 7, "rlnCtfDataAreCtfPremultiplied": 1})
    report = check_particles(q)
    assert any("blob/sign is -1" in text for text in report.assumptions)
    assert any("premultiplied" in text for text in report.warnings)
    assert (q.read([2]) == -images[2]).all()
