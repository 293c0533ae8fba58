"""What a newcomer gets wrong is said in one sentence that names it, and what is right is not made hard."""

import json
from dataclasses import fields, replace
from inspect import getdoc, signature

import numpy as np
import pytest

import vitreous as vt
from vitreous.averages.class2d import class2d
from vitreous.cli import relion
from vitreous.cli.select import class_numbers
from vitreous.jobs.given_maps import read_beside, require_mask
from vitreous.jobs.sources import require_within_box
from vitreous.jobs.tasks.table import TASKS, task_of
from vitreous.particles import Volume, read_particles, read_star, write_star, write_volume
from vitreous.volumes import spherical_mask

BOX, VOXEL_A = 24, 12.0
EMPTY = Volume(data=np.zeros((BOX,) * 3, np.float32), pixel_size_A=VOXEL_A)


def kept(path, data, pixel_size_A=VOXEL_A):
    write_volume(path, Volume(data=data.astype(np.float32), pixel_size_A=pixel_size_A))
    return path


def without_voxel_size(path):
    header = bytearray(path.read_bytes())
    header[40:52] = bytes(12)
    path.write_bytes(header)
    return path


def test_a_density_is_no_mask(tmp_path):
    ball = spherical_mask(EMPTY, 150.0).data
    path = kept(tmp_path / "density.mrc", 3.0 * ball - 0.2)
    with pytest.raises(ValueError, match=r"density.mrc: expected a mask with values from 0 to 1, found -0.2 to 2.8"):
        require_mask(path, EMPTY)
    path = kept(tmp_path / "scaled.mrc", np.abs(np.random.default_rng(0).normal(size=(BOX,) * 3)).clip(0, 4) / 4)
    assert any("hardly anywhere near 1" in text for text in require_mask(path, EMPTY)[1])


def test_masks_that_are_too_small_or_too_large_are_doubted(tmp_path):
    data = np.zeros((BOX,) * 3)
    data[12, 12, 10:13] = 1
    with pytest.raises(ValueError, match=r"dot.mrc covers 0.02% of the box"):
        require_mask(kept(tmp_path / "dot.mrc", data), EMPTY)
    found = {}
    for name, diameter_A, edge_A in (("small", 50.0, 0.0), ("right", 170.0, 36.0), ("large", 330.0, 36.0)):
        path = kept(tmp_path / f"{name}.mrc", spherical_mask(EMPTY, diameter_A, edge_A=edge_A).data)
        found[name] = require_mask(path, EMPTY)[1]
    assert [len(found[name]) for name in ("small", "right", "large")] == [1, 0, 1], found
    assert "so small a mask" in found["small"][0]
    assert "masks hardly anything away" in found["large"][0]


def test_a_map_beside_particles_without_a_voxel_size(tmp_path):
    path = without_voxel_size(kept(tmp_path / "a.mrc", np.ones((BOX,) * 3)))
    volume, said = read_beside(path, BOX, VOXEL_A)
    assert volume.pixel_size_A == VOXEL_A
    assert len(said) == 1
    with pytest.raises(ValueError, match=r"a.mrc: the header has no voxel size, and .* write the voxel size into"):
        read_beside(path, 2 * BOX, VOXEL_A)


@pytest.mark.parametrize("name", ["class2d", "denoise", "neighbours", "abinitio", "refine"])
def test_no_resolution_is_coarser_than_the_box(vitreous, simulated, tmp_path, name):
    words = [name, simulated / "truth.star", "-o", tmp_path / "o", "--resolution-limit-A", 300]
    ended = vitreous(*words)
    assert ended.code == 1
    assert ended.err == "vitreous: --resolution-limit-A: expected at most the side of the box, 288 A, found 300\n"
    assert not (tmp_path / "o").exists()


def test_the_first_map_of_a_refinement_is_no_coarser_than_the_box(simulated):
    particles = read_particles(simulated / "particles.star")
    require_within_box(vt.Refine(), particles)
    with pytest.raises(ValueError, match="initial_lowpass_A: expected at most the side of the box"):
        require_within_box(vt.Refine(initial_lowpass_A=1000.0), particles)


def test_text_among_the_angles_keeps_a_job_from_running(vitreous, simulated, tmp_path):
    blocks = read_star(simulated / "truth.star")
    angles = blocks["particles"].text("rlnAngleTilt")
    angles[6] = "front"
    table = blocks["particles"].with_columns({"rlnAngleTilt": angles})
    names = [str(n).replace("@", f"@{simulated}/") for n in table.text("rlnImageName")]
    write_star(tmp_path / "p.star", {**blocks, "particles": table.with_columns({"rlnImageName": names})})
    checked = vitreous("check", tmp_path / "p.star")
    assert checked.code == 1
    assert "rlnAngleTilt is 'front'; expected a number" in checked.out
    assert "a job cannot run" in checked.out
    assert vitreous("class2d", tmp_path / "p.star", "-o", tmp_path / "o", "--dry-run").code == 0, "it looks at none"


def test_folders_are_not_taken_for_options(vitreous, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    assert vitreous("postprocess", "data", "-o", "o").err.startswith("vitreous: data: expected one map with half1")
    assert vitreous("mixture", "data", "-o", "o").err.startswith("vitreous: data: expected a map")
    assert vitreous("postprocess", "none", "-o", "o").err == "vitreous: none does not exist; expected a half map\n"


def test_what_is_no_folder_of_a_job(vitreous, simulated, classified, tmp_path):
    assert "nothing does not exist; expected the folder of a finished job" in vitreous("report", "nothing").err
    assert "is not the folder of a job" in vitreous("report", tmp_path).err
    (tmp_path / "job.json").write_text((classified / "job.json").read_text().replace('"class2d"', '"denoise"', 1))
    assert "is the folder of a denoise job; expected" in vitreous("select", tmp_path, "--classes", "1").err
    assert "no denoised_model.npz" in vitreous("report", tmp_path).err
    refused = vitreous("denoise", simulated / "particles.star", "-o", classified)
    assert refused.err.startswith(f"vitreous: {classified} is the folder of a class2d job (finished); choose another")
    assert "iterations" not in refused.err


@pytest.fixture
def job_with_poses(simulated, tmp_path):
    """What an abinitio folder has: particles with poses and, in the first rows, without one; and a map."""
    blocks = read_star(simulated / "truth.star")
    number = np.ones(300, int)
    number[:3] = 0
    names = [str(n).replace("@", f"@{simulated}/") for n in blocks["particles"].text("rlnImageName")]
    table = blocks["particles"].with_columns({"rlnClassNumber": number, "rlnImageName": names})
    folder = tmp_path / "abinitio"
    folder.mkdir()
    write_star(folder / "abinitio_data.star", {**blocks, "particles": table})
    kept(folder / "abinitio.mrc", spherical_mask(EMPTY, 150.0).data)
    return folder


def test_folders_of_jobs_with_poses_are_reconstructed_and_projected(vitreous, job_with_poses, tmp_path):
    ended = vitreous("reconstruct", job_with_poses, "-o", tmp_path / "r", "--threads", 1)
    assert ended.code == 0, ended.err
    assert "297 images" in ended.out, "particles without a pose have no part"
    ended = vitreous("project", job_with_poses, "--poses", job_with_poses, "-o", tmp_path / "p", "--threads", 1)
    assert ended.code == 0, ended.err
    assert "297 projections of 24 x 24 pixels" in ended.out
    assert "has none of refined_data.star" in vitreous("reconstruct", tmp_path / "p", "-o", tmp_path / "q").err
    assert "has no refined_unfil.mrc" in vitreous("project", tmp_path / "p", "-o", tmp_path / "q").err
    blocks = read_star(job_with_poses / "abinitio_data.star")
    two = blocks["particles"].with_columns({"rlnClassNumber": np.arange(300) % 3})
    write_star(job_with_poses / "abinitio_data.star", {**blocks, "particles": two})
    assert "particles of 2 volumes" in vitreous("reconstruct", job_with_poses, "-o", tmp_path / "q").err


def test_classes_that_run_backwards():
    assert class_numbers("1-3,9") == [1, 2, 3, 9]
    with pytest.raises(ValueError, match="5-1 runs backwards; expected 1-5"):
        class_numbers("5-1")


def test_a_job_that_failed_before_it_began_makes_room_for_any_other(vitreous, simulated, tmp_path):
    words = ["class2d", simulated / "particles.star", "-o", tmp_path / "o", "--K", 4, "--iter", 2, "--threads", 1]
    assert vitreous(*words).code == 0
    lasting = [path for path in tmp_path.glob("o/**/*") if path.is_file() and path.name not in ("job.json", "run.log")]
    for path in lasting:
        path.unlink()
    content = json.loads((tmp_path / "o" / "job.json").read_text())
    content["runs"][-1]["status"] = "failed"
    (tmp_path / "o" / "job.json").write_text(json.dumps(content))
    ended = vitreous(*words[:-4], "--iter", 3, "--threads", 1)
    assert ended.code == 0, ended.err
    assert len((tmp_path / "o" / "history.jsonl").read_text().splitlines()) == 3


def test_denoise_counts_what_it_denoised(vitreous, simulated, tmp_path):
    blocks = read_star(simulated / "particles.star")
    names = [str(n).replace("@", f"@{simulated}/") for n in blocks["particles"].text("rlnImageName")]
    names[4] = "000001@gone.mrcs"
    write_star(tmp_path / "p.star", {**blocks, "particles": blocks["particles"].with_columns({"rlnImageName": names})})
    ended = vitreous("denoise", tmp_path / "p.star", "-o", tmp_path / "o", "--threads", 1)
    assert ended.code == 0, ended.err
    assert "299 images" in ended.out
    assert "1 particles were refused" in ended.out
    gone = [f"{i + 1:06d}@gone.mrcs" for i in range(300)]
    write_star(tmp_path / "q.star", {**blocks, "particles": blocks["particles"].with_columns({"rlnImageName": gone})})
    ended = vitreous("denoise", tmp_path / "q.star", "-o", tmp_path / "none")
    assert (ended.code, "no particle has a readable image" in ended.err) == (1, True)
    assert not (tmp_path / "none").exists()


def test_functions_say_what_they_were_given_instead():
    particles = object.__new__(vt.ParticleSet)
    for call, said in (
        (lambda: class2d("a.star"), "particles: expected a ParticleSet, found the name 'a.star'"),
        (lambda: class2d(particles, klasses=3), "Class2D has no setting 'klasses'; did you mean 'classes'"),
        (lambda: vt.abinitio(3), "particles: expected a ParticleSet, an array, a result or .*, found int"),
        (lambda: vt.denoise("a.star", vt.Class2D()), "settings of denoise: expected Denoise, found Class2D"),
        (lambda: vt.class2d(particles, klasses=3), "class2d.. has no keyword 'klasses'; did you mean 'classes'"),
        (lambda: vt.Class2D(classes=4.5), "classes: expected a whole number, found 4.5"),
        (lambda: vt.Class2D(ctf="no"), "ctf: expected True or False, found 'no'"),
        (lambda: vt.run_class2d(particles, "o"), "particles: expected the name of a file"),
        (lambda: vt.run_class2d("a.star", "o", vt.Denoise()), "settings of class2d: expected Class2D, found Denoise"),
        (lambda: vt.run_class2d("a.star", "o", options={}), "options: expected RunOptions"),
        (lambda: vt.run_class2d("a.star", "o", pixel_size_A="3"), "pixel_size_A: expected a number or None"),
        (lambda: vt.run_postprocess(3, "o"), "half_maps: expected several, each the name of a file"),
    ):
        with pytest.raises(TypeError, match=said):
            call()


def test_numbers_of_numpy_are_numbers():
    assert vt.Class2D(classes=np.int64(4), tau2_fudge=np.float32(2), ctf=np.bool_(True)).classes == 4
    assert replace(vt.Class2D(), particle_diameter_A=100).particle_diameter_A == 100


@pytest.mark.parametrize("name", TASKS)
def test_help_of_a_function_has_its_arguments_in_their_order(name):
    task = task_of(name)
    function = getattr(vt, task.function or f"run_{name}")
    parameters = getdoc(function).partition("Parameters\n----------\n")[2].partition("\n\n")[0]
    told = [line for line in parameters.splitlines() if not line.startswith(" ")]
    assert told == list(signature(function).parameters)


def test_words_of_relion_settings_are_fields():
    assert set(relion.ALIASES) - {f.name for f in fields(vt.Class2D)} == {"pixel_size_A"}
