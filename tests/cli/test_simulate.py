"""``vitreous simulate`` and ``vitreous check``."""

import hashlib
import json

import numpy as np
import pytest

from conftest import SMALL
from vitreous.jobs import read_manifest
from vitreous.particles import read_particles, read_star, read_volume, write_mrc_stack
from vitreous.simulate import load_volumes, simulate_batches

WORDS = ("-n", 40, "--box", 24, "--pixel-size", 12, "--snr", 1)


def test_files_hold_what_the_simulation_made(simulated):
    particles = read_particles(simulated / "particles.star")
    images, truth = next(iter(simulate_batches(load_volumes(SMALL), SMALL, batch=300)))
    np.testing.assert_allclose(particles.read(slice(None)), images, atol=1e-5)
    assert (len(particles), particles.box_px, particles.pixel_size_A) == (300, 24, 12.0)
    np.testing.assert_allclose(particles.ctf.defocus_u_A, truth["rlnDefocusU"])
    for name in ("AngleRot", "AngleTilt", "AnglePsi", "OriginXAngst", "OriginYAngst"):
        np.testing.assert_allclose(particles.table[f"vtrTrue{name}"], truth[f"rln{name}"], atol=1e-6)


def test_the_truth_is_no_prior_and_stands_in_a_file_of_its_own(simulated):
    particles, truth = (read_star(simulated / f"{name}.star")["particles"] for name in ("particles", "truth"))
    hidden = {"rlnAngleRot", "rlnAngleTilt", "rlnAnglePsi", "rlnOriginXAngst", "rlnOriginYAngst"}
    assert not hidden & set(particles.names)
    assert hidden <= set(truth.names)
    assert list(particles["rlnImageName"]) == list(truth["rlnImageName"])
    np.testing.assert_array_equal(particles["vtrTrueAngleRot"], truth["rlnAngleRot"])


def test_the_volume_is_what_was_projected(simulated):
    volume = read_volume(simulated / "volume_1.mrc")
    assert volume.pixel_size_A == pytest.approx(12.0)
    np.testing.assert_allclose(volume.data, load_volumes(SMALL)[0].numpy(), atol=1e-6)


def test_the_same_command_gives_the_same_files(vitreous, tmp_path):
    digests = []
    for name in ("a", "b"):
        assert vitreous("simulate", "-o", tmp_path / name, *WORDS, "--seed", 3).code == 0
        digests.append(
            [hashlib.sha256((tmp_path / name / f).read_bytes()).digest() for f in ("particles.star", "particles.mrcs")]
        )
    assert digests[0] == digests[1]


def test_several_sources_with_shares_and_junk(vitreous, simulated, tmp_path):
    volume = simulated / "volume_1.mrc"
    ended = vitreous(
        "simulate", "-o", tmp_path / "s", *WORDS, "-n", 200, "--phantom", "channel", "--map", volume,
        "--proportions", 1, 3, "--junk-fraction", 0.5, "--junk-kinds", "empty", "neighbours",
    )  # fmt: skip
    assert ended.code == 2  # -n twice
    words = [word for word in WORDS if word not in ("-n", 40)]
    ended = vitreous(
        "simulate", "-o", tmp_path / "s", *words, "-n", 200, "--phantom", "channel", "--map", volume,
        "--proportions", 1, 3, "--junk-fraction", 0.5, "--junk-kinds", "empty", "neighbours",
    )  # fmt: skip
    assert ended.code == 0, ended.err
    table = read_star(tmp_path / "s" / "particles.star")["particles"]
    assert set(table["vtrJunk"]) == {"none", "empty", "neighbours"}
    first, second = (np.count_nonzero(table["vtrTrueVolume"] == number) for number in (1, 2))
    drawn = first + second
    assert abs(first - drawn / 4) < 4 * (drawn * 3 / 16) ** 0.5  # four standard deviations of a binomial
    assert (tmp_path / "s" / "volume_2.mrc").is_file()


def test_json_dry_run_and_a_finished_folder(vitreous, tmp_path):
    folder = tmp_path / "s"
    dry = vitreous("simulate", "-o", folder, *WORDS, "--dry-run", "--json")
    assert [event["event"] for event in dry.events] == ["plan"]
    assert not folder.exists()
    first = vitreous("simulate", "-o", folder, *WORDS, "--json")
    assert [event["event"] for event in first.events] == ["plan", "end"]
    assert read_manifest(folder).status == "finished"
    again = vitreous("simulate", "-o", folder, *WORDS)
    assert again.code == 0
    assert "finished already" in again.out
    other = vitreous("simulate", "-o", folder, *WORDS, "--seed", 9)
    assert other.code == 1
    assert "seed: 0 -> 9" in other.err
    assert vitreous("simulate", "-o", folder, *WORDS, "--seed", 9, "--overwrite").code == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--phantom", "unicorn"], "neither a file nor one of the phantoms"),
        (["--snr", "0"], "snr"),
        (["--noise", "pink"], "one of white, coloured"),
        (["--proportions", "1", "2"], "one per source"),
        (["--box", "4"], "--box-px: expected"),
    ],
)
def test_wrong_settings(vitreous, tmp_path, words, said):
    ended = vitreous("simulate", "-o", tmp_path / "s", *words)
    assert ended.code == 1
    assert said in ended.err
    assert not (tmp_path / "s").exists()


def test_check_says_that_a_job_can_run(vitreous, simulated):
    ended = vitreous("check", simulated / "particles.star")
    assert ended.code == 0
    assert "300 particles, 24 x 24 pixels, 12 A/pixel" in ended.out
    assert "a job can run" in ended.out


def test_check_as_json_of_a_sample(vitreous, simulated):
    ended = vitreous("check", simulated / "particles.star", "--sample", 20, "--json")
    found = json.loads(ended.out)
    assert (found["particles"], found["images_checked"], found["can_run"]) == (300, 20, True)


def test_check_finds_what_is_wrong(vitreous, tmp_path):
    images = np.random.default_rng(1).standard_normal((5, 16, 16)).astype(np.float32)
    images[2] = np.nan
    write_mrc_stack(tmp_path / "stack.mrcs", images, 2.0)
    bad = vitreous("check", tmp_path / "stack.mrcs")
    assert (bad.code, "NaN or infinite pixels: particles 3" in bad.out) == (0, True)
    write_mrc_stack(tmp_path / "no_size.mrcs", images, 0.0)
    without = vitreous("check", tmp_path / "no_size.mrcs")
    assert (without.code, "a job cannot run" in without.out) == (1, True)
    assert vitreous("check", tmp_path / "no_size.mrcs", "--pixel-size-A", 2).code == 0


@pytest.mark.parametrize("sample", [0, -3])
def test_check_refuses_an_empty_sample(vitreous, simulated, sample):
    ended = vitreous("check", simulated / "particles.star", "--sample", sample)
    assert ended.code in (1, 2)


def test_copy_is_not_made_over_other_files(vitreous, simulated, tmp_path):
    star = tmp_path / "a b" / "copied.star"
    ended = vitreous("copy", simulated / "particles.star", "-o", star)
    assert (ended.code, "300 particles" in ended.out) == (0, True)
    assert vitreous("check", star).code == 0
    again = vitreous("copy", simulated / "particles.star", "-o", star)
    assert (again.code, "--overwrite" in again.err) == (1, True)
    assert vitreous("copy", simulated / "particles.star", "-o", star, "--overwrite").code == 0
