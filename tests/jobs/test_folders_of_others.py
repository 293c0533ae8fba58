"""Folders of cryoSPARC and RELION as these leave them: which file has the classes, and what else belongs to it."""

import numpy as np
import pytest

from vitreous.jobs.folder import JobFolderError
from vitreous.jobs.results.classified import open_classified
from vitreous.jobs.results.stability import classes_in, passthrough_in
from vitreous.jobs.select import select_particles
from vitreous.particles import read_particles, write_mrc_stack

BOX, PIXEL_A, N = 16, 4.0, 24
IMAGES = [
    ("uid", "<u8"),
    ("blob/path", "S30"),
    ("blob/idx", "<u4"),
    ("blob/shape", "<u4", (2,)),
    ("blob/psize_A", "<f4"),
]
CLASSES = [("alignments2D/class", "<u4"), ("alignments2D/pose", "<f4"), ("alignments2D/shift", "<f4", (2,)),
           ("alignments2D/psize_A", "<f4")]  # fmt: skip
CTF = [("uid", "<u8"), *((f"ctf/{name}", "<f4") for name in ("accel_kv", "cs_mm", "amp_contrast", "df1_A", "df2_A")),
       ("ctf/df_angle_rad", "<f4"), ("ctf/exp_group_id", "<u4")]  # fmt: skip


def save(path, rows) -> None:
    with path.open("wb") as file:
        np.save(file, rows)


@pytest.fixture
def job(tmp_path):
    """J24 of a project: classes of two iterations, the last of which counts; defoci in the passthrough, reversed."""
    folder = tmp_path / "J24"
    (tmp_path / "J1").mkdir()
    folder.mkdir()
    stack = np.random.default_rng(1).standard_normal((N, BOX, BOX)).astype(np.float32)
    write_mrc_stack(tmp_path / "J1" / "part.mrc", stack, PIXEL_A)
    rows = np.zeros(N, dtype=IMAGES + CLASSES)
    rows["uid"], rows["blob/path"], rows["blob/idx"] = np.arange(N) + 7, b">J1/part.mrc", np.arange(N)
    rows["blob/shape"], rows["blob/psize_A"], rows["alignments2D/psize_A"] = (BOX, BOX), PIXEL_A, PIXEL_A
    save(folder / "cryosparc_P1_J24_000_particles.cs", rows)
    rows["alignments2D/class"] = np.arange(N) % 3
    save(folder / "cryosparc_P1_J24_020_particles.cs", rows)
    defoci = np.zeros(N, dtype=CTF)
    defoci["uid"], defoci["ctf/df1_A"] = rows["uid"][::-1], 10_000 + 100 * rows["uid"][::-1]
    defoci["ctf/df2_A"], defoci["ctf/accel_kv"], defoci["ctf/cs_mm"] = defoci["ctf/df1_A"], 300, 2.7
    defoci["ctf/amp_contrast"] = 0.1
    save(folder / "J24_passthrough_particles.cs", defoci)
    averages = np.zeros(3, dtype=IMAGES)
    save(folder / "cryosparc_P1_J24_020_class_averages.cs", averages)
    return folder


def test_a_cryosparc_job_is_its_last_particles_with_their_passthrough(job):
    data = classes_in(job)
    assert data.name == "cryosparc_P1_J24_020_particles.cs"
    assert [p.name for p in passthrough_in(job, data)] == ["J24_passthrough_particles.cs"]
    found = open_classified(job, project=job.parent)
    assert found.population.tolist() == [8, 8, 8]
    particles = found.particles(job.parent)
    assert particles.has_ctf
    np.testing.assert_allclose(particles.ctf.defocus_u_A, 10_000 + 100 * (np.arange(N) + 7))


def test_classes_of_a_cryosparc_job_are_selected(job, tmp_path):
    found = select_particles(job, classes=[2], output=tmp_path / "chosen", project=job.parent)
    assert found.selected_count == 8
    chosen = read_particles(found.selected, project=job.parent)
    assert chosen.has_ctf
    assert set(chosen.table.numbers("rlnClassNumber")) == {2}


def test_a_file_is_taken_as_it_is_and_a_selection_has_its_own_passthrough(job):
    file = job / "cryosparc_P1_J24_000_particles.cs"
    assert classes_in(file) == file
    assert passthrough_in(file, file) == ()
    for name in ("particles_selected", "passthrough_particles_selected", "particles_excluded"):
        (job / f"J30_{name}.cs").touch()
    selected = job / "J30_particles_selected.cs"
    assert [p.name for p in passthrough_in(job, selected)] == ["J30_passthrough_particles_selected.cs"]


def test_the_last_iteration_of_relion_counts_also_of_a_run_that_was_continued(tmp_path):
    for name in ("run_it000_data.star", "run_it025_data.star", "run_it025_model.star"):
        (tmp_path / name).touch()
    assert classes_in(tmp_path).name == "run_it025_data.star"
    (tmp_path / "run_ct25_it040_data.star").touch()
    assert classes_in(tmp_path).name == "run_ct25_it040_data.star"


def test_a_folder_with_passthrough_files_only_is_refused(tmp_path):
    (tmp_path / "J24_passthrough_particles.cs").touch()
    with pytest.raises(JobFolderError, match="not the folder of a 2D"):
        classes_in(tmp_path)
