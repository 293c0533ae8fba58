"""Selecting classes splits the particles and loses none."""

import pytest
import starfile
from made_up import CLASSES, PARTICLES, made_up_job

from vitreous.jobs.folder import JobFolderError
from vitreous.jobs.select import SelectionError, select_particles


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
