"""Jobs as functions: what they take, and what they say to what they do not."""

import ast
from pathlib import Path

import numpy as np
import pytest

import vitreous as vt
from vitreous.face import tasks
from vitreous.face.calls import _sorted
from vitreous.face.given import as_source
from vitreous.face.stub import stub_text
from vitreous.face.views import VIEWS
from vitreous.jobs.averages import refuse_particles
from vitreous.jobs.tasks.class3d import TASK as CLASS3D
from vitreous.jobs.tasks.table import TASKS


def statements(text: str) -> set[str]:
    """What a stub says, whatever its form; names that are imported one by one."""
    body = ast.parse(text).body
    imported = {f"{node.module} {one.name}" for node in body if isinstance(node, ast.ImportFrom) for one in node.names}
    return imported | {ast.dump(node) for node in body if not isinstance(node, ast.ImportFrom)}


def test_every_job_has_a_function_and_the_stub_is_that_of_the_table():
    text = Path(tasks.__file__).with_suffix(".pyi").read_text()
    assert statements(text) == statements(stub_text()), "python -m vitreous.face.stub writes it anew"
    typed = {node.name for node in ast.parse(text).body if isinstance(node, ast.FunctionDef)}
    assert len(typed) == len(TASKS) - 1
    assert typed | {"neighbors", "run"} <= set(vt.__all__)
    assert set(VIEWS) == set(TASKS)
    assert all("Parameters" in getattr(vt, name).__doc__ for name in (*typed, "run"))


def test_a_keyword_that_is_none_is_answered_with_the_nearest(particles):
    with pytest.raises(TypeError, match=r"class2d\(\) has no keyword 'klasses'; did you mean 'classes'"):
        vt.class2d(particles, klasses=3)
    with pytest.raises(TypeError, match="no keyword 'thread'; did you mean 'threads'"):
        vt.denoise(particles, thread=3)
    with pytest.raises(ValueError, match="method: expected one of gridding"):
        vt.reconstruct(particles, method="griding")
    with pytest.raises(TypeError, match="settings of denoise: expected Denoise, found Class2D"):
        vt.denoise(particles, vt.Class2D())
    with pytest.raises(TypeError, match="expected a ParticleSet, an array, a result or the name of a file, found int"):
        vt.isac(3)
    with pytest.raises(FileNotFoundError, match="nowhere"):
        vt.class2d("nowhere.star")


def test_settings_keywords_and_both_mean_the_same(particles):
    whole = vt.denoise(particles, vt.Denoise(components=5, normalise=False))
    mixed = vt.denoise(particles, vt.Denoise(components=5), normalize=False, threads=1, quiet=True)
    assert np.array_equal(whole.images, mixed.images)
    assert whole.settings == mixed.settings


def test_a_file_an_array_and_a_set_give_the_same(particles, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    plain = vt.particles(particles.read(slice(None)), particles.pixel_size_A)
    plain.write("plain.star")
    results = [
        vt.denoise(given, components=4, **pixel)
        for given, pixel in (
            ("plain.star", {}),
            (plain, {}),
            (plain.read(slice(None)), {"pixel_size_A": plain.pixel_size_A}),
        )
    ]
    assert np.array_equal(results[0].images, results[1].images)
    assert np.array_equal(results[0].images, results[2].images)
    with pytest.raises(ValueError, match="an array has no pixel size"):
        vt.denoise(plain.read(slice(None)))


def test_a_result_hands_on_its_classes_and_what_it_knows_of_the_images(particles, classes):
    narrow = vt.class2d(particles, classes=2, iterations=1, particle_diameter_A=200.0)
    after = vt.deconvolve(particles, classes=narrow)
    assert after.settings.particle_diameter_A == 200.0  # as the command takes it from the folder
    assert set(after.class_number) <= {1, 2}
    part = particles.subset(np.flatnonzero(classes.class_number == 1))
    of_part = vt.deconvolve(part, classes=classes)
    assert of_part.population.tolist() == [len(part)]
    assert np.array_equal(vt.deconvolve(classes).averages, vt.deconvolve(particles, classes=classes).averages)


def test_neighbours_in_both_spellings(particles, near):
    assert near.neighbours.shape == (len(particles), 3)
    assert vt.Neighbors is vt.Neighbours
    assert vt.run_neighbors is vt.run_neighbours


def test_maps_and_images_become_files_where_a_job_reads_them():
    volume = vt.Volume(data=np.ones((5, 5, 5)), pixel_size_A=2.0)
    assert vt.read_volume(as_source("reference", volume, pixel_size_A=None)).pixel_size_A == 2.0
    halves = as_source("half_maps", (volume, volume), pixel_size_A=None)
    assert [path.suffix for path in halves] == [".mrc", ".mrc"]
    with pytest.raises(ValueError, match="no voxel size"):
        as_source("map", np.ones((5, 5, 5)), pixel_size_A=None)


def test_what_else_takes_particles_takes_files_and_results(particles, classes, tmp_path):
    particles.write(tmp_path / "p.star")
    assert (
        vt.check_particles(tmp_path / "p.star").particles == len(particles) == vt.check_particles(particles).particles
    )
    least = int(np.sort(classes.population)[-2])
    chosen = vt.select_particles(classes, min_size=least)
    assert (classes.population[np.array(chosen.classes) - 1] >= least).all()


def test_words_of_calls_that_cannot_be_understood(particles):
    images = particles.read(slice(0, 4))
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'pixel_size_A'"):
        vt.particles(images)
    with pytest.raises(ValueError, match=r"found \(24, 24\); of one image give images\[None\]"):
        vt.particles(images[0], 10.0)
    with pytest.raises(TypeError, match=r"found the name 'a\.star'; read_particles"):
        vt.particles("a.star", 10.0)
    with pytest.raises(TypeError, match="found list; files of particles are given one by one"):
        vt.denoise(["a.star", "b.star"])
    with pytest.raises(TypeError, match=r"denoise\(\): expected particles, found nothing"):
        vt.denoise()
    with pytest.raises(
        TypeError, match="classes: expected a result, a folder or a file with classes or poses, found int"
    ):
        vt.deconvolve(particles, classes=3)
    with pytest.raises(ValueError, match="'lots' is not an amount of memory"):
        vt.denoise(particles, memory="lots")
    with pytest.raises(AttributeError, match="no attribute 'clas2d'; did you mean 'class2d'"):
        _ = vt.clas2d


def test_functions_of_folders_take_keywords_too(particles, tmp_path, capsys):
    particles.write(tmp_path / "p.star")
    said = {}
    for name, given in {
        "settings": {"settings": vt.Denoise(components=4, normalise=False), "options": vt.RunOptions(dry_run=True)},
        "keywords": {"components": 4, "normalize": False, "dry_run": True, "memory": "4G"},
    }.items():
        assert vt.run_denoise(tmp_path / "p.star", tmp_path / "out", **given) is None
        said[name] = capsys.readouterr().out
    assert said["settings"] == said["keywords"] != ""
    with pytest.raises(TypeError, match=r"run_denoise\(\) has no keyword 'componets'; did you mean 'components'"):
        vt.run_denoise(tmp_path / "p.star", tmp_path / "out", componets=4)


def test_a_model_from_averages_refuses_particles_in_memory(particles):
    optics = {"defocus_A": particles.ctf.defocus_u_A, "voltage_kV": 300, "cs_mm": 2.7, "amplitude_contrast": 0.1}
    given = vt.particles(particles.read(slice(None)), particles.pixel_size_A, ctf=optics)
    for method in ("gmm", "projection-matching"):
        with pytest.raises(ValueError, match=r"200 images, each of a micrograph: these are particles.*--method em"):
            vt.initial_model(particles, method=method)
        with pytest.raises(ValueError, match=r"200 images, each with a defocus: these are particles"):
            vt.initial_model(given, method=method)
    assert "are they particles" in refuse_particles(given.subset(np.arange(199)))[0]
    assert refuse_particles(given.subset(np.arange(199)), uncorrected=True) == ()


def test_references_of_classes_are_one_map_or_several(tmp_path):
    """Maps in memory become files, as single ones do; one alone stands for a row of one."""
    volume = vt.Volume(data=np.zeros((4, 4, 4), np.float32), pixel_size_A=2.0)
    paths = as_source("reference", [volume, tmp_path / "b.mrc"], pixel_size_A=None)
    assert vt.read_volume(paths[0]).data.shape == (4, 4, 4)
    assert paths[1] == tmp_path / "b.mrc"
    keywords = {"reference": "a.mrc", "passthrough": ("b.cs", "c.cs")}
    source = _sorted(CLASS3D, "class3d", "particles", "p.star", None, keywords)[1]
    assert (source.reference, source.passthrough) == ((Path("a.mrc"),), (Path("b.cs"), Path("c.cs")))
