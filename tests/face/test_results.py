"""Results: what they save is what the command writes, and what is loaded is what was saved."""

from dataclasses import fields, is_dataclass
from pathlib import Path

import numpy as np
import pytest

import vitreous as vt
from vitreous.jobs import JobFolderError

OF_TIME = {"job.json", "history.jsonl", "run.log", "note.txt", "report.html"}


def files_of(folder: Path) -> dict[str, bytes]:
    """The files of a job in which nothing of time enters."""
    found = [path for path in folder.rglob("*") if path.is_file() and path.name not in OF_TIME]
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


def as_given(value: object) -> object:
    """Numbers for comparison."""
    return np.asarray(value, float) if isinstance(value, np.ndarray | float | int | bool) else None


def assert_alike(first: object, second: object, *, atol: float) -> int:
    """All numbers of two values of dataclasses agree to the digits of the files; how many arrays there were."""
    seen = 0
    assert type(first) is type(second)
    for field in fields(first):
        one, two = getattr(first, field.name), getattr(second, field.name)
        if is_dataclass(one):
            seen += assert_alike(one, two, atol=atol)
        elif (numbers := as_given(one)) is not None:
            np.testing.assert_allclose(as_given(two), numbers, rtol=1e-3, atol=atol, err_msg=field.name)
            seen += 1
    return seen


@pytest.mark.parametrize("job", ["class2d", "mra", "denoise", "align"])
def test_what_is_saved_is_what_the_command_writes(job, particles, tmp_path, monkeypatch):
    settings = {
        "class2d": vt.Class2D(classes=4, iterations=2, seed=3),
        "mra": vt.MRA(classes=3, iterations=2, seed=3),
        "denoise": vt.Denoise(components=6),
        "align": vt.Align(starts=2, iterations=3),
    }[job]
    for place in ("saved", "written"):
        (tmp_path / place).mkdir()
        particles.write(tmp_path / place / "particles.star")
    monkeypatch.chdir(tmp_path / "saved")
    getattr(vt, job)(particles, settings).save("out")
    monkeypatch.chdir(tmp_path / "written")
    getattr(vt, f"run_{job}")("particles.star", "out", settings)
    saved, written = files_of(tmp_path / "saved" / "out"), files_of(tmp_path / "written" / "out")
    checkpoints = {name for name in written if name.startswith("checkpoints") and name not in saved}
    assert len(checkpoints) <= 1  # the command keeps two
    assert set(saved) == set(written) - checkpoints
    assert [name for name in saved if saved[name] != written[name] and not name.startswith("checkpoints")] == []


def test_images_in_memory_are_saved_with_the_result(classes, particles, tmp_path):
    report = classes.save(tmp_path / "out")
    assert report.is_file()
    found = vt.read_particles(tmp_path / "out" / "run_data.star")
    assert np.array_equal(found.read([5, 9]), particles.read([5, 9]))
    assert len(list((tmp_path / "out").glob("images-*.mrcs"))) == 1
    with pytest.raises(JobFolderError, match="is the folder of a class2d job"):
        vt.denoise(particles, components=2).save(tmp_path / "out")


@pytest.mark.parametrize("job", ["class2d", "deconvolve", "denoise", "neighbours", "align"])
def test_what_is_loaded_is_what_was_saved(job, particles, classes, averages, near, tmp_path):
    made = {
        "class2d": lambda: classes,
        "deconvolve": lambda: averages,
        "denoise": lambda: vt.denoise(particles, components=6),
        "neighbours": lambda: near,
        "align": lambda: vt.align(particles, starts=2, iterations=3),
    }[job]()
    made.save(tmp_path / "out")
    loaded = vt.load(tmp_path / "out")
    assert loaded.task == job
    atol = 6e-3  # four decimals, and two of the angles between neighbours
    if job == "align":  # angles are in one turn in the files
        turn = np.exp(1j * (made.alignments.psi_rad - loaded.alignments.psi_rad))
        np.testing.assert_allclose(turn, 1, atol=1e-6)
        made.alignments.psi_rad[:] = loaded.alignments.psi_rad
    assert assert_alike(made.value, loaded.value, atol=atol) > 5
    assert loaded.show(3).captions == made.show(3).captions
    assert repr(loaded).splitlines()[0] == repr(made).splitlines()[0]
    with pytest.raises(ValueError, match="copy that folder"):
        loaded.save(tmp_path / "again")


def test_a_loaded_result_goes_on_like_the_folder(classes, tmp_path):
    classes.save(tmp_path / "out")
    loaded = vt.load(tmp_path / "out")
    assert np.array_equal(vt.deconvolve(loaded).averages, vt.deconvolve(classes).averages)
    assert len(loaded.history) == len(classes.history) == 3
    assert loaded.settings["classes"] == classes.settings.classes


def test_particles_of_a_result_have_its_columns_and_outlive_it(particles, classes, tmp_path):
    found = classes.particles()
    assert found.table["rlnClassNumber"].tolist() == classes.class_number.tolist()
    assert found.images.held is not None  # not in a folder that goes
    denoised = vt.denoise(particles, components=4)
    clean = denoised.particles()
    clean.write(tmp_path / "clean.star")
    assert np.array_equal(vt.read_particles(tmp_path / "clean.star").read([3]), denoised.images[[3]])


def test_tables_by_name(classes):
    assert len(classes.table()) == len(classes.class_number)
    assert len(classes.table("run_model/model_classes")) == 5
    with pytest.raises(ValueError, match=r"no table .run_dat.; did you mean .run_data.\?; there are .*run_data"):
        classes.table("run_dat")
    pandas = pytest.importorskip("pandas")
    assert isinstance(classes.to_pandas(), pandas.DataFrame)


def test_a_result_is_short_on_a_screen_and_has_the_fields_of_its_value(classes, averages):
    for result in (classes, averages):
        assert 1 <= len(repr(result).splitlines()) <= 5
        assert max(map(len, repr(result).splitlines())) <= 120
    assert classes.averages is classes.value.averages
    assert {"averages", "save", "show"} <= set(dir(classes))
    with pytest.raises(AttributeError, match="class2d has no 'avrages'; did you mean 'averages'"):
        _ = classes.avrages
    with pytest.raises(TypeError, match="no halves"):
        averages.plot_frc()


def test_pictures_are_written_as_one_sheet(classes, tmp_path):
    sheet = classes.show(5)
    sheet.save(tmp_path / "sheet.png", columns=2)
    assert (tmp_path / "sheet.png").read_bytes().startswith(b"\x89PNG")
    assert sheet._repr_html_().count("<figure") == 5


def test_folders_that_are_none_are_refused(tmp_path):
    with pytest.raises(JobFolderError, match="does not exist"):
        vt.load(tmp_path / "nothing")
    with pytest.raises(JobFolderError, match=r"has no job.json"):
        vt.load(tmp_path)


def test_figures_of_matplotlib(classes):
    pytest.importorskip("matplotlib")
    assert len(classes.plot_frc().axes[0].lines) == 6  # five classes and the threshold
    assert len(classes.plot_convergence().axes) > 1


@pytest.mark.filterwarnings("ignore::FutureWarning")  # of ArviZ, about its next version
def test_traces_of_a_sampler(particles, averages):
    from vitreous.face.traces import traces

    short = {"restarts": 1, "components": 10, "fine_components": 20, "samples": 4, "burn_in_steps": 2}
    model = vt.initial_model(averages, symmetry="C1", **short, steps_between=1)
    assert {name: values.shape for name, values in traces(model).items()} == {"log_posterior": (4,), "sigma_A": (4,)}
    arviz = pytest.importorskip("arviz")
    assert arviz is not None
    assert model.to_arviz().posterior["sigma_A"].shape == (2, 2)
