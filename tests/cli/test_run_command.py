"""``vitreous run``: stages, selection, check, resume; and a model compared with the truth."""

import html
import shutil
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from vitreous.iterate import Interrupted
from vitreous.jobs import SelectionError, job_status, read_manifest
from vitreous.jobs.averages import find_averages
from vitreous.jobs.options import RunOptions
from vitreous.jobs.report.pipeline import STAGES
from vitreous.jobs.report.stages import MOST_PICTURES
from vitreous.jobs.results.class2d import open_class2d_folder
from vitreous.jobs.results.initial import read_initial
from vitreous.jobs.results.isac import open_isac_folder
from vitreous.jobs.results.reference import agreement_lines, read_agreement
from vitreous.jobs.results.selection import read_selection
from vitreous.jobs.sources import classified
from vitreous.jobs.tasks import pipeline
from vitreous.jobs.tasks.pipeline import Pipeline, run_pipeline
from vitreous.mixtures import GaussianInitialModel, InitialModel, Mixture, rotate, to_volume
from vitreous.particles import read_particles, read_star, read_volume, write_mrc_stack, write_volume
from vitreous.quality import compare_maps, other_hand
from vitreous.rotations import random_rotations

QUICK = InitialModel(
    components=20, box_px=16, counts=200, rounds=3, rounds_annealed=2, global_rotations=60,
    fine_components=30, fine_box_px=16, fine_counts=400, burn_in_steps=4, samples=2, steps_between=2,
)  # fmt: skip
QUICK_GAUSSIAN = GaussianInitialModel(
    components=12, box_px=16, rounds=2, rounds_annealed=2, global_rotations=40, mixture_steps=2, pose_steps=1,
    fine_components=16, fine_box_px=16, burn_in_steps=2, samples=2, steps_between=1,
)  # fmt: skip
SETTINGS = Pipeline(
    method="gmm", refine=False, classes=5, min_share=0.1, worst_resolution_A=500.0, restarts=2, initial=QUICK
)


@pytest.fixture(scope="module")
def folder(simulated, tmp_path_factory):
    path = tmp_path_factory.mktemp("run") / "out"
    run_pipeline(simulated / "particles.star", path, SETTINGS)
    return path


def test_stages_selection_and_report(folder):
    for stage in (".", "class2d", "deconvolve", "initial"):
        assert job_status(folder / stage) == "finished", stage
        assert (folder / stage / "report.html").is_file()
    manifest = read_manifest(folder)
    chosen = manifest.summary["selected_classes"]
    deconvolved = read_star(folder / "deconvolve" / "deconvolved.star")["particles"]
    assert list(deconvolved["rlnClassNumber"]) == chosen
    assert "selected" in manifest.messages[0]
    page = (folder / "report.html").read_text()
    rows = page.partition('<ol class="stages">')[2].partition("</ol>")[0].split("<li>")[1:]
    assert [link for link in ("class2d", "deconvolve", "initial") if f'href="{link}/report.html"' not in page] == []
    assert len(rows) == len(list(folder.glob("*/job.json")))
    assert [row for row in rows if "<img" not in row or row.count("<img") > MOST_PICTURES] == []
    assert "initial component sigma" not in page  # of a stage, in whose report it is


def test_dark_particles_are_turned_over_and_that_is_said_at_once(vitreous, simulated, tmp_path):
    particles = read_particles(simulated / "particles.star").subset(np.arange(60))
    write_mrc_stack(tmp_path / "dark.mrcs", -particles.read(slice(None)), 12.0)
    names = [f"{i + 1}@{tmp_path}/dark.mrcs" for i in range(60)]
    particles.with_columns(rlnImageName=names).write(tmp_path / "dark.star")
    words = ("--classes", 2, "--no-refine", "--worst-resolution-A", 1)  # which none has: it ends after the classes
    ended = vitreous("run", tmp_path / "dark.star", "-o", tmp_path / "o", *words)
    for said in (ended.out, (tmp_path / "o" / "run.log").read_text()):
        assert "dark on light" in said
        assert "were turned over" in said
    assert read_manifest(tmp_path / "o" / "class2d").settings["invert_contrast"] is True


def test_from_particles_to_a_map(simulated, tmp_path, monkeypatch):
    """All stages; stopped in the last one, it goes on there; models of both origins are compared."""
    settings = replace(SETTINGS, method="abinitio", refine=True, starts=1)
    particles, folder = simulated / "particles.star", tmp_path / "o"
    with monkeypatch.context() as patch:
        patch.setattr("vitreous.jobs.folder.Job.abort_requested", lambda job: job.path.name == "refine")
        with pytest.raises(Interrupted):
            run_pipeline(particles, folder, settings, reference=simulated / "volume_1.mrc")
    before = read_manifest(folder / "abinitio").runs
    run_pipeline(particles, folder, settings, RunOptions(resume=True), reference=simulated / "volume_1.mrc")
    assert read_manifest(folder / "abinitio").runs == before
    for stage in settings.stages:
        assert job_status(folder / stage) == "finished", stage
    assert read_manifest(folder / "abinitio").summary["symmetry"] == "C1"
    manifest = read_manifest(folder)
    used = read_star(folder / "refine" / "refined_data.star")["particles"]
    assert len(used) == manifest.summary["selected_particles"]
    assert manifest.summary["models_agree"] == (manifest.summary["models_correlation"] >= 0.7)
    assert any("the model of the particles and that of the averages" in text for text in manifest.messages)
    assert (folder / "refined_aligned.mrc").is_file()
    page = (folder / "report.html").read_text()
    assert [name for name in settings.stages if f'href="{name}/report.html"' not in page] == []
    assert page.count("the model of the particles and that of the averages") == 1


def test_the_group_that_the_model_has_is_refined_with(tmp_path, monkeypatch):
    found = SimpleNamespace(summary={"symmetry": "D3"})
    monkeypatch.setattr(pipeline, "read_manifest", lambda path: found if path.name == "abinitio" else None)
    job = SimpleNamespace(path=tmp_path)
    assert pipeline._refine(Pipeline(symmetry="auto"), job).symmetry == "D3"
    assert pipeline._refine(Pipeline(symmetry="C4"), job).symmetry == "C4"
    assert pipeline._refine(Pipeline(offset_range_A=30.0), job).offset_range_A == 30.0
    assert pipeline._model_settings(Pipeline(symmetry="auto")).symmetry == "C1"
    assert pipeline._model_settings(Pipeline(symmetry="C4")).symmetry == "C4"


def test_stages_follow_from_the_settings():
    assert Pipeline().stages == tuple(name for name in STAGES if name != "isac")
    assert Pipeline(averages="isac").stages == tuple(name for name in STAGES if name != "class2d")
    assert Pipeline(check=False).stages == ("class2d", "abinitio", "refine")
    assert Pipeline(method="gmm", refine=False).stages == ("class2d", "deconvolve", "initial")
    assert Pipeline(method="gmm-gaussian").stages == ("class2d", "initial", "refine")
    with pytest.raises(ValueError, match="symmetry: expected a point group"):
        Pipeline(method="gmm", symmetry="auto")


def test_it_goes_on_in_the_stage_where_it_stopped(simulated, folder, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("vitreous.jobs.folder.Job.abort_requested", lambda job: job.path.name == "deconvolve")
        with pytest.raises(Interrupted):
            run_pipeline(simulated / "particles.star", tmp_path / "o", SETTINGS)
    before = read_manifest(tmp_path / "o" / "class2d").runs
    run_pipeline(simulated / "particles.star", tmp_path / "o", SETTINGS, RunOptions(resume=True))
    assert read_manifest(tmp_path / "o" / "class2d").runs == before
    one, two = ((path / "initial" / "initial.mrc").read_bytes()[1024:] for path in (tmp_path / "o", folder))
    assert one == two
    other = Pipeline(
        method="gmm", refine=False, classes=4, min_share=0.1, worst_resolution_A=500.0, restarts=2, initial=QUICK
    )
    with pytest.raises(ValueError, match="classes: 5 -> 4"):
        run_pipeline(simulated / "particles.star", tmp_path / "o", other)
    run_pipeline(simulated / "particles.star", tmp_path / "o", other, RunOptions(overwrite=True))
    assert read_manifest(tmp_path / "o" / "class2d").settings["classes"] == 4


def test_averages_with_negative_pixels_need_no_deconvolution(simulated, folder, tmp_path):
    gaussian = replace(SETTINGS, method="gmm-gaussian", initial=QUICK_GAUSSIAN)
    shutil.copytree(folder, tmp_path / "o")
    run_pipeline(
        simulated / "particles.star",
        tmp_path / "o",
        gaussian,
        RunOptions(overwrite=True),
        reference=simulated / "volume_1.mrc",
    )
    manifest, initial = read_manifest(tmp_path / "o"), read_manifest(tmp_path / "o" / "initial")
    assert (manifest.settings["method"], initial.settings["method"]) == ("gmm-gaussian", "gmm-gaussian")
    assert initial.inputs == (str(tmp_path / "o" / "class2d" / "class_averages.star"),)
    classes = open_class2d_folder(tmp_path / "o" / "class2d").averages
    used = read_initial(tmp_path / "o" / "initial").averages
    assert np.array_equal(used, classes[np.array(manifest.summary["selected_classes"]) - 1])
    assert used.min() < 0
    page = (tmp_path / "o" / "report.html").read_text()
    assert ("deconvolve/report.html" in page, "initial/report.html" in page) == (False, True)
    assert "Against the reference" in page
    assert "Against the reference" not in (folder / "report.html").read_text()
    assert (
        manifest.summary["initial_reference_correlation"] == read_agreement(tmp_path / "o" / "initial")[0].correlation
    )
    with pytest.raises(ValueError, match="expected GaussianInitialModel"):
        replace(gaussian, initial=QUICK)


def selected(folder, settings):
    """What a selection in a copy of a finished run comes to: its summary, and its sentence."""
    said = {}
    job = SimpleNamespace(
        path=folder, log=lambda text: None, describe=lambda summary, messages: said.update(summary, words=messages[0])
    )
    pipeline._select(job, SimpleNamespace(project=None), settings, RunOptions(threads=1))
    return said


def test_the_choice_of_classes_and_further_conditions(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "o")
    population = open_class2d_folder(folder / "class2d").population
    by_itself = selected(tmp_path / "o", Pipeline())
    kept = read_selection(tmp_path / "o" / "class2d").kept
    assert by_itself["selected_classes"] == (np.flatnonzero(kept) + 1).tolist()
    fewest = int(np.ceil(300 / len(population)))
    large = selected(tmp_path / "o", Pipeline(min_share=1.0))
    assert large["selected_classes"] == (np.flatnonzero(kept & (population >= fewest)) + 1).tolist()
    assert f"at least {fewest} particles" in large["words"]
    every = selected(tmp_path / "o", Pipeline(auto=False))
    assert every["selected_classes"] == (np.flatnonzero(population > 0) + 1).tolist()
    assert read_selection(tmp_path / "o" / "class2d") is None
    with pytest.raises(SelectionError, match="fulfils"):
        selected(tmp_path / "o", Pipeline(auto=False, worst_resolution_A=1.0))


def test_the_report_shows_which_classes_went_and_why(folder):
    page = (folder / "report.html").read_text()
    found = read_selection(folder / "class2d")
    assert page.count("Kept:") == 1
    assert [words for text in found.words for words in text.split("; ") if html.escape(words) not in page] == []


def test_isac_in_place_of_class2d_stopped_and_resumed(simulated, tmp_path, monkeypatch):
    """Its accepted averages and particles go on; a run that was stopped ends as one that was not."""
    settings = replace(SETTINGS, averages="isac", img_per_grp=30, worst_resolution_A=None)
    with monkeypatch.context() as patch:
        for stage in ("isac", "deconvolve"):
            patch.setattr("vitreous.jobs.folder.Job.abort_requested", lambda job, stage=stage: job.path.name == stage)
            with pytest.raises(Interrupted):
                run_pipeline(simulated / "particles.star", tmp_path / "o", settings, RunOptions(resume=True))
    run_pipeline(simulated / "particles.star", tmp_path / "o", settings, RunOptions(resume=True))
    assert len(read_manifest(tmp_path / "o" / "isac").runs) == 2
    assert not (tmp_path / "o" / "class2d").exists()
    manifest, accepted = read_manifest(tmp_path / "o"), open_isac_folder(tmp_path / "o" / "isac")
    assert manifest.summary["selected_classes"] == list(range(1, len(accepted.population) + 1))
    assert manifest.summary["selected_particles"] == accepted.population.sum() < 300
    deconvolved = read_star(tmp_path / "o" / "deconvolve" / "deconvolved.star")["particles"]
    assert len(deconvolved) == len(accepted.population)
    assert 'href="isac/report.html"' in (tmp_path / "o" / "report.html").read_text()
    diameter = read_manifest(tmp_path / "o" / "isac").summary["particle_diameter_used_A"]
    assert read_manifest(tmp_path / "o" / "deconvolve").settings["particle_diameter_A"] == diameter
    assert classified(tmp_path / "o" / "isac").name == "accounted.star"
    assert find_averages(tmp_path / "o" / "isac").name == "class_averages.star"


def test_dry_run_and_bad_settings(vitreous, simulated, tmp_path):
    dry = vitreous("run", simulated / "particles.star", "-o", tmp_path / "o", "--dry-run")
    assert (dry.code, (tmp_path / "o").exists(), "300 particles" in dry.out) == (0, False, True)
    bad = vitreous("run", simulated / "particles.star", "-o", tmp_path / "o", "--min-share", 2)
    assert (bad.code, "--min-share" in bad.err) == (1, True)
    for refused in ({"method": "sgd"}, {"worst_resolution_A": 0.0}):
        with pytest.raises(ValueError, match=next(iter(refused))):
            Pipeline(**refused)


def test_model_against_the_truth_over_both_hands(tmp_path):
    rng = np.random.default_rng(4)
    truth = Mixture(means_A=rng.normal(size=(9, 3)) * 16, weights=rng.dirichlet(np.full(9, 4)), precision_per_A2=1 / 49)
    write_volume(tmp_path / "true.mrc", to_volume(truth, 24, 6.0))
    turned = to_volume(rotate(truth, random_rotations(1, seed=3)[0].numpy()), 25, 5.5)
    write_volume(tmp_path / "model.mrc", other_hand(turned))
    found, _ = compare_maps(read_volume(tmp_path / "model.mrc"), read_volume(tmp_path / "true.mrc"))
    assert found.other_hand
    assert found.correlation > 0.97 > found.mirrored_correlation
    assert found.resolution_A < 20.0 < found.mirrored_resolution_A
    assert agreement_lines(found)[0].startswith("initial_other_hand.mrc")
    assert agreement_lines(found)[1].startswith("initial.mrc")
