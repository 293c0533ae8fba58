"""``vitreous ctf`` as a job: what it leaves, what stops it and what does not, and what reads its list."""

import mrcfile
import numpy as np
import pytest
from PIL import Image
from scenes_of_ctf import ctf_scene, parameters

from vitreous.iterate import Interrupted
from vitreous.jobs.options import RunOptions
from vitreous.jobs.tasks.ctf import run_ctf
from vitreous.jobs.tasks.extract import run_extract
from vitreous.jobs.tasks.pick import run_pick
from vitreous.micrographs import EstimateCTF, Extract, Pick, list_micrographs
from vitreous.particles import ParticleFileError, Table, read_star, write_star

SETTINGS = EstimateCTF(tile_A=240.0, pictures=2)
QUICK = RunOptions(threads=1)
MICROSCOPE = {"voltage_kV": 300.0, "cs_mm": 2.7}
SHAPE, PIXEL_A, DEFOCUS_A = (200, 240), 3.0, 15000.0


def write_mrc(path, image, pixel_A=PIXEL_A):
    with mrcfile.new(path) as file:
        file.set_data(image)
        file.voxel_size = pixel_A
    return path


def scene(i):
    u_A = DEFOCUS_A + 1000.0 * i
    return ctf_scene(SHAPE, PIXEL_A, parameters(u_A, u_A - 400.0, 20.0), rings=8.0, seed=i)


def write_scenes(folder, n):
    """n micrographs whose defocus goes up in steps of 1000 Angstrom."""
    return [write_mrc(folder / f"m{i}.mrc", scene(i)) for i in range(n)]


def test_the_list_is_read_by_pick_and_extract_and_particles_have_their_ctf(tmp_path):
    write_scenes(tmp_path, 2)
    run_ctf((tmp_path / "*.mrc",), tmp_path / "ctf", SETTINGS, QUICK, **MICROSCOPE)
    path = tmp_path / "ctf/micrographs_ctf.star"
    blocks = read_star(path)
    optics = blocks["optics"]
    assert [optics.numbers(name)[0] for name in ("rlnVoltage", "rlnSphericalAberration", "rlnAmplitudeContrast")] == [
        300.0,
        2.7,
        0.1,
    ]
    assert optics.numbers("rlnMicrographPixelSize")[0] == PIXEL_A
    for i, listed in enumerate(list_micrographs([path])):
        assert listed.path == tmp_path / f"m{i}.mrc"
        assert listed.pixel_size_A == PIXEL_A
        assert listed.ctf.defocus_u_A[0] == pytest.approx(DEFOCUS_A + 1000.0 * i, abs=250.0)
        assert listed.ctf.defocus_angle_deg[0] == pytest.approx(20.0, abs=25.0)
    run_pick(
        (path,), tmp_path / "pick", Pick(diameter_A=90.0, false_picks=500.0, contaminants=False, pictures=0), QUICK
    )
    run_extract((tmp_path / "pick",), tmp_path / "boxes", Extract(box_px=16), QUICK)
    particles = read_star(tmp_path / "boxes/particles.star")
    table, listed = particles["particles"], blocks["micrographs"]
    row = {name: i for i, name in enumerate(listed.text("rlnMicrographName"))}
    of = np.array([row[name] for name in table.text("rlnMicrographName")])
    assert len(table) > 0
    for name in ("rlnDefocusU", "rlnDefocusV", "rlnDefocusAngle", "rlnCtfMaxResolution", "rlnCtfFigureOfMerit"):
        assert (table.numbers(name) == listed.numbers(name)[of]).all()
    assert particles["optics"].numbers("rlnVoltage")[0] == 300.0


def broken_files(folder):
    """One of every kind that cannot be used, with a word of its reason."""
    nan = np.full(SHAPE, np.nan, dtype=np.float32)
    write_mrc(folder / "constant.mrc", np.full(SHAPE, 3.0, dtype=np.float32))
    write_mrc(folder / "nan.mrc", nan)
    write_mrc(folder / "movie.mrc", np.zeros((3, 64, 64), dtype=np.float32))
    write_mrc(folder / "coarse.mrc", scene(0), 40.0)
    whole = write_mrc(folder / "cut.mrc", scene(0)).read_bytes()
    (folder / "cut.mrc").write_bytes(whole[:5000])
    Image.fromarray(np.zeros((64, 64, 3), dtype=np.uint8)).save(folder / "rgb.png")
    return {
        "constant.mrc": "empty micrograph",
        "nan.mrc": "NaN",
        "movie.mrc": "a movie",
        "coarse.mrc": "is the pixel size right",
        "cut.mrc": "",
        "rgb.png": "RGB",
    }


@pytest.mark.filterwarnings("ignore:Data array contains NaN")  # as mrcfile writes it
def test_broken_micrographs_are_named_and_do_not_change_the_others(tmp_path):
    good = write_scenes(tmp_path, 1)
    reasons = broken_files(tmp_path)
    noise = write_mrc(tmp_path / "noise.mrc", ctf_scene(SHAPE, PIXEL_A, None))
    files = [*(tmp_path / name for name in reasons), noise, *good]
    run_ctf(tuple(files), tmp_path / "all", SETTINGS, RunOptions(threads=2), **MICROSCOPE)
    run_ctf(tuple(good), tmp_path / "alone", SETTINGS, QUICK, **MICROSCOPE)
    listed = [read_star(tmp_path / name / "micrographs_ctf.star")["micrographs"] for name in ("all", "alone")]
    assert len(listed[0]) == len(listed[1]) == 1
    assert all((listed[0].text(name) == listed[1].text(name)).all() for name in listed[1].names)
    table = read_star(tmp_path / "all/micrographs.star")["micrographs"]
    failures = table.text("vtrFailure").tolist()
    for failure, (name, words) in zip(failures, reasons.items(), strict=False):
        assert words in failure
        assert name in failure
    assert failures[-2:] == ["no rings", "none"]
    assert np.isnan(table.numbers("rlnDefocusU")).tolist() == [True] * 7 + [False]
    assert "nothing is claimed" in table.text("vtrWarnings")[-2]
    assert "no rings stand out" in (tmp_path / "all/report.html").read_text()


def test_a_job_that_was_stopped_goes_on_and_ends_alike(tmp_path, monkeypatch):
    monkeypatch.setattr("vitreous.micrographs.ctf_many.CTF_AT_ONCE", 1)
    monkeypatch.setattr("vitreous.jobs.tasks.ctf.CTF_AT_ONCE", 1)
    files = tuple(write_scenes(tmp_path, 3))
    run_ctf(files, tmp_path / "whole", SETTINGS, RunOptions(threads=2), **MICROSCOPE)
    from vitreous.jobs.tasks import ctf

    def stop_after_the_first(listed, folder, state, write=ctf._write_each):
        write(listed, folder, state)
        (folder / "RELION_JOB_ABORT_NOW").touch()

    with monkeypatch.context() as within:
        within.setattr(ctf, "_write_each", stop_after_the_first)
        with pytest.raises(Interrupted):
            run_ctf(files, tmp_path / "stopped", SETTINGS, QUICK, **MICROSCOPE)
    assert len(list(tmp_path.glob("stopped/ctf/*_ctf.png"))) == 1
    run_ctf(files, tmp_path / "stopped", SETTINGS, RunOptions(threads=1, resume=True), **MICROSCOPE)
    names = sorted(str(path.relative_to(tmp_path / "whole")) for path in tmp_path.glob("whole/ctf/*"))
    assert len(names) == 6
    for name in ("micrographs_ctf.star", "micrographs.star", *names):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "stopped" / name).read_bytes()


def test_microscopes_come_from_the_list_unless_they_are_given(tmp_path):
    write_scenes(tmp_path, 2)
    names = ["m0.mrc", "m1.mrc"]
    table = {"rlnMicrographName": names, "rlnOpticsGroup": [1, 2], "rlnMicrographMetadata": ["a.star", "b.star"]}
    optics = {
        "rlnOpticsGroupName": ["a", "b"], "rlnMtfFileName": ["k3.star"] * 2,
        "rlnOpticsGroup": [1, 2], "rlnMicrographPixelSize": [3.0, 3.0],
        "rlnVoltage": [300.0, 300.0], "rlnSphericalAberration": [2.7, 2.7], "rlnAmplitudeContrast": [0.1, 0.07],
    }  # fmt: skip
    blocks = {"optics": Table.from_arrays(optics), "micrographs": Table.from_arrays(table)}
    write_star(tmp_path / "list.star", blocks)
    run_ctf((tmp_path / "list.star",), tmp_path / "two", SETTINGS, QUICK)
    written = read_star(tmp_path / "two/micrographs_ctf.star")
    assert written["optics"].numbers("rlnAmplitudeContrast").tolist() == [0.1, 0.07]
    assert written["optics"].text("rlnOpticsGroupName").tolist() == ["a", "b"]
    assert written["optics"].text("rlnMtfFileName").tolist() == ["k3.star"] * 2
    assert written["micrographs"].numbers("rlnOpticsGroup").tolist() == [1, 2]
    assert written["micrographs"].text("rlnMicrographMetadata").tolist() == ["a.star", "b.star"]
    run_ctf((tmp_path / "list.star",), tmp_path / "one", SETTINGS, QUICK, amplitude_contrast=0.08)
    assert (
        read_star(tmp_path / "one/micrographs_ctf.star")["optics"].numbers("rlnAmplitudeContrast").tolist()
        == [0.08] * 2
    )
    with pytest.raises(ParticleFileError, match=r"expected voltage_kV from --voltage-kV"):
        run_ctf((tmp_path / "m0.mrc",), tmp_path / "none", SETTINGS, QUICK, cs_mm=2.7)
    assert not (tmp_path / "none").exists()


def test_a_job_without_rings_says_so(tmp_path):
    noise = write_mrc(tmp_path / "noise.mrc", ctf_scene(SHAPE, PIXEL_A, None))
    run_ctf((noise,), tmp_path / "o", SETTINGS, QUICK, **MICROSCOPE)
    assert len(read_star(tmp_path / "o/micrographs_ctf.star")["micrographs"]) == 0
    assert "No micrograph shows rings" in (tmp_path / "o/report.html").read_text()
