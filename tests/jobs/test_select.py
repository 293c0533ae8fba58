"""Selecting classes splits the particles and loses none."""

import re

import pytest
import starfile
from made_up import CLASSES, PARTICLES, made_up_job

from vitreous.averages.class_choice import ClassChoice
from vitreous.jobs.folder import JobFolderError
from vitreous.jobs.results import align, class2d, isac, msa
from vitreous.jobs.select import SelectionError, select_particles
from vitreous.particles import read_star, write_star


@pytest.fixture(scope="module")
def job(tmp_path_factory):
    return made_up_job(tmp_path_factory.mktemp("select"))


def test_selected_and_excluded_are_the_whole(job):
    result = select_particles(job, classes=[1, 3])
    selected, excluded = starfile.read(result.selected), starfile.read(result.excluded)
    assert set(selected["particles"]["rlnClassNumber"]) == {1, 3}
    assert set(excluded["particles"]["rlnClassNumber"]) == {0, 2, 4}
    assert (result.selected_count, result.excluded_count) == (39, PARTICLES - 39)
    names = [*selected["particles"]["rlnImageName"], *excluded["particles"]["rlnImageName"]]
    assert len(set(names)) == PARTICLES
    assert list(selected["particles"]["rlnImageName"]) == sorted(selected["particles"]["rlnImageName"])
    assert "myOwnColumn" in selected["particles"]
    assert len(selected["optics"]) == 2


def test_class_files_for_relion(job):
    result = select_particles(job, classes=[2])
    assert starfile.read(result.class_averages, always_dict=True)[""]["rlnReferenceImage"][0].startswith("000002@")
    backup = starfile.read(job / "backup_selection.star")
    assert list(backup["rlnSelected"]) == [0, 1, 0, 0, 0]


@pytest.mark.parametrize(
    ("conditions", "classes"),
    [
        ({"min_size": 10}, (1, 2)),
        ({"worst_resolution_A": 18.3}, (1, 2)),
        ({"min_size": 5, "worst_resolution_A": 30.0}, (1, 2, 3)),
        ({"classes": [1, 4], "worst_resolution_A": 100.0}, (1,)),
        ({"classes": (4, 4, 1)}, (1, 4)),
    ],
)
def test_conditions_combine(job, conditions, classes):
    assert select_particles(job, **conditions).classes == classes


def test_a_class_that_does_not_exist_is_named(job):
    with pytest.raises(SelectionError, match=f"class 9 does not exist; .* has classes 1 to {CLASSES}"):
        select_particles(job, classes=[1, 9])
    with pytest.raises(SelectionError, match="class 0 does not exist"):
        select_particles(job, classes=[0])


def test_an_empty_selection_says_what_there_is(job):
    with pytest.raises(
        SelectionError, match=r"largest of its 5 classes has 30 particles, the best resolution is 12\.8"
    ):
        select_particles(job, min_size=1000)
    with pytest.raises(SelectionError, match="fulfils the conditions"):
        select_particles(job, classes=[5])


def test_no_condition_is_refused(job):
    with pytest.raises(SelectionError, match="at least one condition"):
        select_particles(job)


def test_another_folder_is_refused(tmp_path):
    with pytest.raises(JobFolderError, match=r"has none of run_data\.star, isac_data\.star"):
        select_particles(tmp_path, classes=[1])


@pytest.mark.parametrize(
    ("conditions", "words"),
    [
        ({"min_size": 0}, "min_size: expected at least 1, found 0"),
        ({"worst_resolution_A": float("nan")}, "worst_resolution_A: expected a positive number, found nan"),
        ({"min_size": 5, "stability": "nowhere"}, "stability: used by the choice of classes only"),
        ({"min_size": 5, "keep_outliers": True}, "keep_outliers: used by the choice of classes only"),
        ({"min_size": 5, "settings": ClassChoice()}, "settings: used by the choice of classes only"),
    ],
)
def test_conditions_that_mean_nothing_are_refused(job, conditions, words):
    with pytest.raises(SelectionError, match=words):
        select_particles(job, **conditions)


def test_classes_of_another_program_have_averages_after_a_choice_only(job, tmp_path):
    """Files that are not there are not named, and those of an earlier choice do not stay beside another selection."""
    data, out = job / "run_data.star", tmp_path / "chosen"
    out.mkdir()
    for name in ("class_selection.star", "class_averages.star", "class_averages.mrcs", "report.html", "notes.txt"):
        (out / name).touch()
    found = select_particles(data, classes=[1], output=out)
    assert found.class_averages is None
    assert found.excluded == out / "excluded.star"
    assert sorted(path.name for path in out.iterdir()) == [
        "backup_selection.star", "excluded.star", "notes.txt", "selected.star",
    ]  # fmt: skip
    assert select_particles(job, classes=[1]).class_averages == job / "class_averages.star"


def test_an_overwritten_job_takes_its_selection_with_it():
    for files in (align.FILES, class2d.FILES, isac.FILES, msa.FILES):
        assert {"selected.star", "class_selection.star", "class_averages.star"} <= set(files)


@pytest.mark.parametrize("number", [1e9, 1.5])
def test_what_is_no_class_number_is_refused(job, tmp_path, number):
    blocks = read_star(job / "run_data.star")
    wrong = blocks["particles"].numbers("rlnClassNumber").astype(float)
    wrong[2] = number
    rows = blocks["particles"].with_columns({"rlnClassNumber": wrong})
    write_star(job / "wrong.star", {**blocks, "particles": rows})
    with pytest.raises(
        ValueError, match=re.escape(f"particle 3 has the class {number:g} (rlnClassNumber); expected a whole")
    ):
        select_particles(job / "wrong.star", classes=[1], output=tmp_path / "out")
