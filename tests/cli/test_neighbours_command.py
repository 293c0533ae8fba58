"""``vitreous neighbours``: folder, files, report, resume, and what it says about broken input."""

import os
import re
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest
from test_kill import KILLED

import vitreous as vt
from vitreous.averages.neighbours import Neighbours
from vitreous.iterate import Interrupted
from vitreous.jobs import JobFolderError, job_status, read_history, read_manifest
from vitreous.jobs.options import RunOptions
from vitreous.jobs.tasks.neighbours import run_neighbours
from vitreous.jobs.tasks.table import write_report
from vitreous.particles import Table, image_name, open_stack, read_particles, read_star, write_mrc_stack, write_star
from vitreous.testing import Blobs

K = 12
FAST = Neighbours(neighbours=K, runs=2, passes=2, averages=7, components=40)
WORDS = ("-k", K, "--runs", 2, "--passes", 2, "--averages", 7, "--components", 40, "--threads", 1)
FILES = ("neighbours.star", "averages.mrcs", "averages.star", "classes.mrcs", "classes.star", "data.star")


def pixels(path) -> np.ndarray:
    stack = open_stack(path)
    return stack.read(np.arange(len(stack)))


def contents(folder) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in (*FILES, "figures.npz", "examples.npz")}


def stack_of(folder, images, pixel_size_A: float | None = 6.0):
    """A STAR file for images (n, L, L), without CTF and shifts."""
    write_mrc_stack(folder / "p.mrcs", images, pixel_size_A or 0.0)
    columns = {"rlnImageName": [image_name(i, "p.mrcs") for i in range(len(images))]}
    table = {"particles": Table.from_arrays(columns)}
    if pixel_size_A:
        optics = {"rlnOpticsGroup": [1], "rlnImagePixelSize": [pixel_size_A], "rlnImageSize": [images.shape[-1]]}
        table = {
            "optics": Table.from_arrays(optics),
            "particles": Table.from_arrays(columns | {"rlnOpticsGroup": [1] * len(images)}),
        }
    write_star(folder / "p.star", table)
    return folder / "p.star"


@pytest.fixture(scope="module")
def folder(classified, tmp_path_factory):
    """A finished job on classified particles."""
    path = tmp_path_factory.mktemp("neighbours") / "out"
    run_neighbours(classified, path, FAST)
    return path


def test_table_of_neighbours(folder):
    pairs = read_star(folder / "neighbours.star")["neighbours"]
    assert np.array_equal(pairs["vtrParticle"], np.repeat(np.arange(1, 301), K))
    assert np.array_equal(pairs["vtrRank"], np.tile(np.arange(1, K + 1), 300))
    neighbour = pairs["vtrNeighbour"].reshape(300, K)
    assert all(len(set(row)) == K and number not in row for number, row in enumerate(neighbour, 1))
    assert neighbour.min() >= 1
    assert neighbour.max() <= 300
    affinity = pairs["vtrAffinity"].reshape(300, K)
    assert np.all(np.diff(affinity, axis=1) <= 0)
    assert np.all((affinity >= 0) & (affinity <= 1.0001))
    assert set(pairs["vtrMirrored"]) == {0, 1}
    assert np.abs(pairs["rlnAnglePsi"]).max() <= 180


def test_particles_keep_their_columns_and_gain_ours(classified, folder):
    before, after = read_particles(classified / "run_data.star"), read_particles(folder / "data.star")
    assert set(after.table.names) - set(before.table.names) == {"vtrAffinity", "vtrLogEvidence", "vtrTimesNeighbour"}
    for name in set(before.table.names) - {"vtrWeight"}:
        assert list(after.table.text(name)) == list(before.table.text(name))
    pairs = read_star(folder / "neighbours.star")["neighbours"]
    named = np.bincount(pairs["vtrNeighbour"], minlength=301)[1:]
    assert np.array_equal(after.table["vtrTimesNeighbour"], named)
    mean = pairs["vtrAffinity"].reshape(300, K).mean(1)
    assert np.allclose(after.table["vtrAffinity"], mean, atol=1e-3)
    assert np.all(after.table["vtrWeight"] == 1)
    assert np.array_equal(after.read(slice(0, 2)), before.read(slice(0, 2)))


def test_averages_and_classes(folder):
    averages = read_particles(folder / "averages.star")
    plan = read_manifest(folder).summary
    assert (len(averages), averages.box_px) == (7, plan["working_box_px"])
    assert averages.pixel_size_A == pytest.approx(plan["working_pixel_A"])
    assert np.array_equal(averages.read(slice(None)), pixels(folder / "averages.mrcs"))
    assert set(averages.table["vtrMembers"]) == {K + 1}
    data = read_star(folder / "data.star")["particles"]
    assert np.allclose(averages.table["vtrAffinity"], data["vtrAffinity"][averages.table["vtrParticle"] - 1])
    assert averages.table["rlnEstimatedResolution"].min() >= 2 * averages.pixel_size_A - 0.01
    classes = read_particles(folder / "classes.star")
    assert classes.table["vtrMembers"].sum() == pytest.approx(300, abs=1)
    assert np.array_equal(classes.read(slice(None)), pixels(folder / "classes.mrcs"))


def test_what_the_classification_knew_is_taken_over(classified, folder):
    used = read_manifest(classified).summary["particle_diameter_used_A"]
    assert read_manifest(folder).settings["particle_diameter_A"] == used


def test_report(folder):
    page = (folder / "report.html").read_text()
    sections = re.findall(r'<section id="(\w+)"', page)
    assert sections == [
        "examples",
        "averages",
        "neighbours",
        "classes",
        "convergence",
        "spectra",
        "provenance",
    ]
    examples, classes = 12 * (2 + 2 + 3), 300 // 12  # averages over 10 and over all neighbours; a class for 12 of 300
    assert page.count('src="data:image/png') == examples + 7 + classes
    assert page.count('<svg class="chart"') == 5 + 1 + 2 + 2
    assert "10 neighbours" in page
    assert "12 neighbours" in page
    assert re.findall(r'(?:src|href)="(?!data:|#)', page) == []
    assert "Nothing was found" not in page
    assert job_status(folder) == "finished"


def test_report_is_written_again_from_the_folder(vitreous, folder, tmp_path):
    copy = tmp_path / "o"
    shutil.copytree(folder, copy)
    (copy / "report.html").unlink()
    (copy / "examples.npz").unlink()
    assert vitreous("report", copy).out.strip() == str(copy / "report.html")
    assert 'id="examples"' not in (copy / "report.html").read_text()
    (copy / "averages.star").unlink()
    with pytest.raises(JobFolderError, match=r"averages\.star"):
        write_report(copy)


def test_command_and_a_finished_folder(vitreous, classified, folder, tmp_path):
    words = ("neighbours", classified, "-o", tmp_path / "o", *WORDS)
    ended = vitreous(*words, "--json")
    assert ended.code == 0, ended.err
    assert [event["event"] for event in ended.events if event["event"] != "message"] == [
        "plan",
        *["iteration"] * 4,
        "end",
    ]
    assert contents(tmp_path / "o") == contents(folder)
    again = vitreous(*words)
    assert (again.code, "finished already" in again.out) == (0, True)
    other = vitreous(*words, "--classes", 20)
    assert (other.code, "classes: None -> 20" in other.err) == (1, True)
    dry = vitreous("neighbours", classified, "-o", tmp_path / "dry", *WORDS, "--dry-run")
    assert (dry.code, (tmp_path / "dry").exists(), "12 neighbours" in dry.out) == (0, False, True)
    assert "centred by the file's shifts" in dry.out


def test_killed_and_resumed_it_ends_with_the_same_files(vitreous, classified, folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = [str(w) for w in ("neighbours", classified, "-o", "o", *WORDS, "--memory", "1K", "--resume")]
    for moment in (5, 9):  # between passes, between results
        command = [sys.executable, "-c", KILLED, str(moment), *words]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=environment)
        assert ended.returncode == -signal.SIGKILL, ended.stderr
        assert job_status("o") == "interrupted"
        assert (tmp_path / "o" / ".prepared" / "coefficients.dat").is_file()
    ended = vitreous(*words)
    assert ended.code == 0, ended.err
    assert not (tmp_path / "o" / ".prepared").exists()
    assert contents(tmp_path / "o") == contents(folder)
    assert [entry["iteration"] for entry in read_history("o")] == [1, 2, 3, 4]
    assert [(entry["run"], entry["pass"]) for entry in read_history("o")] == [(1, 1), (1, 2), (2, 1), (2, 2)]


def test_a_request_to_stop_is_heard(classified, tmp_path, monkeypatch):
    monkeypatch.setattr("vitreous.jobs.folder.Job.abort_requested", lambda job: len(read_history(job.path)) == 1)
    with pytest.raises(Interrupted):
        run_neighbours(classified, tmp_path / "o", FAST)
    assert job_status(tmp_path / "o") == "aborted"
    assert not (tmp_path / "o" / ".prepared").exists()


def test_files_of_others_are_not_overwritten(classified, folder, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "data.star").write_text("precious")
    with pytest.raises(JobFolderError, match="not from this program"):
        run_neighbours(classified, tmp_path / "mine", FAST)
    assert (tmp_path / "mine" / "data.star").read_text() == "precious"
    shutil.copytree(folder, tmp_path / "o")
    (tmp_path / "o" / "notes.star").write_text("mine")
    run_neighbours(classified, tmp_path / "o", Neighbours(**vars(FAST) | {"averages": 0}), RunOptions(overwrite=True))
    assert (tmp_path / "o" / "notes.star").read_text() == "mine"
    assert not (tmp_path / "o" / "averages.mrcs").exists()
    assert 'id="averages"' not in (tmp_path / "o" / "report.html").read_text()


def test_neighbours_lie_on_their_particle_as_the_file_says(tmp_path):
    """Neighbour j mirrored by y -> -y, where it says so, then turned by psi: X_i(r) = (M X_j)(R(psi) r)."""
    rng, box, n = np.random.default_rng(3), 32, 160
    shapes = [Blobs.random(200 + s, count=7, reach_px=8.5, width_px=1.5) for s in range(3)]
    both = [(a, Blobs(centres_px=a.centres_px * (1, -1), heights=a.heights, width_px=1.5)) for a in shapes]
    shape, hand, psi = rng.integers(0, 3, n), rng.integers(0, 2, n), 360 * rng.random(n)
    clean = np.stack([both[s][h].image(box, p) for s, h, p in zip(shape, hand, psi, strict=True)])
    star = stack_of(tmp_path, clean + rng.normal(size=clean.shape))
    run_neighbours(star, tmp_path / "o", Neighbours(neighbours=3, particle_diameter_A=140, runs=1, averages=0))
    pairs = read_star(tmp_path / "o" / "neighbours.star")["neighbours"]
    agreement = []
    for row in range(len(pairs)):
        i, j = pairs["vtrParticle"][row] - 1, pairs["vtrNeighbour"][row] - 1
        mirrored = pairs["vtrMirrored"][row]
        turned = (-psi[j] if mirrored else psi[j]) + pairs["rlnAnglePsi"][row]
        moved = both[shape[j]][hand[j] ^ mirrored].image(box, turned)
        agreement.append(np.corrcoef(moved.ravel(), clean[i].ravel())[0, 1])
    assert np.median(agreement) > 0.97
    assert 0.3 < pairs["vtrMirrored"].mean() < 0.7


def test_noise_alone_is_said_to_be_noise(tmp_path):
    star = stack_of(tmp_path, np.random.default_rng(5).normal(size=(200, 24, 24)))
    run_neighbours(star, tmp_path / "o", FAST)
    assert read_manifest(tmp_path / "o").summary["found_signal"] is False
    assert "Nothing was found" in (tmp_path / "o" / "report.html").read_text()


def test_broken_images_are_left_out(vitreous, classified, tmp_path):
    images = read_particles(classified / "run_data.star").read(slice(None))
    images[[4, 17]] = np.nan
    images[30] = 1.0
    ended = vitreous("neighbours", stack_of(tmp_path, images, 12.0), "-o", tmp_path / "o", *WORDS)
    assert ended.code == 0, ended.err
    assert "3 particles were refused" in ended.out
    assert "no CTF: the file lacks rlnDefocusU" in ended.out
    assert "no shifts in the file" in ended.out
    data = read_star(tmp_path / "o" / "data.star")["particles"]
    assert np.flatnonzero(data["vtrWeight"] == 0).tolist() == [4, 17, 30]
    assert np.all(data["vtrTimesNeighbour"][[4, 17, 30]] == 0)
    pairs = read_star(tmp_path / "o" / "neighbours.star")["neighbours"]
    assert len(pairs) == 297 * K
    assert not {5, 18, 31} & {*pairs["vtrParticle"], *pairs["vtrNeighbour"]}
    assert "3 more refused" in (tmp_path / "o" / "report.html").read_text()


@pytest.mark.parametrize(
    ("count", "pixel", "words", "said"),
    [
        (10, 6.0, [], "too few for 12 neighbours"),
        (40, 6.0, ["-k", "40"], "too few for 40 neighbours"),
        (40, 6.0, ["-k", "0"], "neighbours: expected at least 1"),
        (40, None, [], "no pixel size"),
        (40, 6.0, ["--particle-diameter-A", "5000"], "does not leave a background"),
        (40, 6.0, ["--device", "cuda"], "on the processor"),
    ],
)
def test_what_cannot_be_used_is_said_before_the_folder_is_made(vitreous, tmp_path, count, pixel, words, said):
    star = stack_of(tmp_path, np.random.default_rng(1).normal(size=(count, 24, 24)), pixel)
    given = words if "-k" in words else [*words, "-k", "12"]
    ended = vitreous("neighbours", star, "-o", tmp_path / "o", *given)
    assert ended.code == 1
    assert said in ended.err
    assert not (tmp_path / "o").exists()


def test_the_package_has_the_names():
    assert vt.neighbours.__name__ == "neighbours"
    assert vt.run_neighbours is run_neighbours
    assert vt.Neighbours is Neighbours
