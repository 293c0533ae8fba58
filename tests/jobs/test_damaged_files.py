"""Damaged files of a job folder: one sentence with the name of the file, or the state before; never a traceback."""

import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks.fuzz import READERS, Trial, mutated
from made_up import made_up_job

from vitreous.jobs import JobFolderError, job_status, load_newest, read_history, save_checkpoint, write_report
from vitreous.jobs.folder import clear_job
from vitreous.jobs.history import rewind_history
from vitreous.jobs.manifest import new_manifest, read_manifest, write_manifest
from vitreous.mixtures import read_points
from vitreous.particles import ParticleFileError, read_array, read_arrays


@pytest.mark.parametrize("name", READERS)
def test_damaged_files_end_in_words_of_ours(name, tmp_path, monkeypatch):
    """A hundred of the inputs that `make fuzz` makes; the million is kept in docs/reliability.md."""
    import random

    trial, draw = Trial(name, tmp_path / "in", tmp_path / "kept"), random.Random(7)
    seeds = trial.reader.seeds()
    for content in [*seeds, *(mutated(draw.choice(seeds), draw) for _ in range(100))]:
        trial(content)
    assert trial.found == {}
    assert trial.count == 100 + len(seeds)


@pytest.mark.parametrize(
    "change",
    [
        {"settings": 3},
        {"files": 5},
        {"files": [1]},
        {"seed": "one"},
        {"runs": [{"command": 1, "started": "", "status": "failed"}]},
        {"runs": "none"},
        {"summary": []},
    ],
)
def test_a_manifest_of_other_kinds_is_named(tmp_path, change):
    made = new_manifest("class2d", {"classes": 3}, seed=1, files=["run_*.star"])
    write_manifest(tmp_path, made.started("vitreous class2d"))
    content = json.loads((tmp_path / "job.json").read_text())
    (tmp_path / "job.json").write_text(json.dumps(content | change))
    with pytest.raises(ValueError, match=r"job.json is damaged, or not a job manifest of this program"):
        read_manifest(tmp_path)


def test_line_breaks_in_a_manifest_are_not_in_the_message(tmp_path):
    write_manifest(tmp_path, new_manifest("class2d", {}, seed=1).started("vitreous class2d"))
    path = tmp_path / "job.json"
    path.write_text(path.read_text().replace('"command"', '"comm\\nd"'))
    with pytest.raises(ValueError, match=r"job\.json is damaged") as raised:
        read_manifest(tmp_path)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("pattern", ["/etc/*", "../*", "", "..", "*/../../*", "a**b"])
def test_patterns_of_a_manifest_do_not_lead_out_of_its_folder(tmp_path, pattern):
    folder = tmp_path / "job"
    folder.mkdir()
    (tmp_path / "mine.txt").write_text("mine")
    made = new_manifest("class2d", {}, seed=1, files=[pattern])
    write_manifest(folder, made.started("vitreous class2d"))
    assert job_status(folder) == "interrupted"
    clear_job(folder)
    assert (tmp_path / "mine.txt").read_text() == "mine"


def test_lines_of_a_history_that_are_none_do_not_count(tmp_path):
    lines = [
        b'{"iteration": 1}',
        b'{"iteration": "2"}',
        b"[" * 5000,
        b"\xff\xfe",
        b"3",
        b'{"iteration": null}',
        b'{"iter',
    ]
    (tmp_path / "history.jsonl").write_bytes(b"\n".join(lines))
    assert read_history(tmp_path) == [{"iteration": 1}]
    rewind_history(tmp_path, 1)
    assert (tmp_path / "history.jsonl").read_text() == '{"iteration": 1}\n'


def test_a_checkpoint_under_another_name_is_none(tmp_path):
    from benchmarks.fuzz import State

    path = save_checkpoint(tmp_path, State(iteration=3, values=np.arange(3.0), words=()))
    shutil.copy(path, path.with_name("it000009.npz"))
    said: list[str] = []
    assert load_newest(tmp_path, State, say=said.append).iteration == 3
    assert len(said) == 1
    assert "it holds iteration 3" in said[0]


def test_a_report_of_damaged_files_is_one_sentence(tmp_path):
    folder = made_up_job(tmp_path)
    whole = (folder / "run_model.star").read_bytes()
    (folder / "run_model.star").write_bytes(whole.replace(b"data_model_general", b"data_model_x"))
    with pytest.raises(JobFolderError, match="its files do not fit together"):
        write_report(folder)
    (folder / "run_model.star").write_bytes(whole)
    (folder / "examples.npz").write_bytes(b"PK\x03\x04garbage")
    with pytest.raises(ParticleFileError, match=r"examples.npz: no arrays can be read"):
        write_report(folder)


def test_headers_that_promise_more_than_there_is_take_no_memory(tmp_path):
    path = tmp_path / "a.npy"
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "<f8", "fortran_order": False, "shape": (1 << 40, 3)})
    with pytest.raises(ParticleFileError, match=r"a.npy: no array can be read \(the header promises"):
        read_array(path)
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.write(path, "points.npy")
    with pytest.raises(ParticleFileError, match=r"a.npz: no arrays can be read \(points.npy: the header promises"):
        read_arrays(tmp_path / "a.npz")


def test_arrays_are_those_of_numpy(tmp_path):
    arrays = {
        "a": np.arange(6).reshape(2, 3),
        "b": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "c": np.array("text"),
    }
    np.savez(tmp_path / "a.npz", **arrays)
    found = read_arrays(tmp_path / "a.npz")
    for name, array in arrays.items():
        assert np.array_equal(found[name], array)
        assert found[name].dtype == array.dtype
    found["a"][0, 0] = 7


def test_atoms_without_a_place(tmp_path):
    atom = "ATOM      1  CA  ALA A   1         nan   6.134  -6.504  1.00  0.00           C\n"
    for name, text in (("a.pdb", atom), ("b.pdb", atom.replace("nan", "1.0").replace(" A ", " \xff "))):
        (tmp_path / name).write_bytes(text.encode("latin1"))
        with pytest.raises(ValueError, match=name) as error:
            read_points(tmp_path / name)
        assert "\n" not in str(error.value)


def test_a_job_on_a_full_disk_ends_with_the_file_and_without_tracebacks(tmp_path):
    """A process whose files may have two kilobytes: the log, the history and the checkpoint do not fit."""
    script = (
        "import resource, signal, sys; from vitreous.cli import main; from vitreous.particles import *;"
        "import numpy as np; v = np.zeros((16, 16, 16)); v[5:11, 5:11, 5:11] = 1;"
        "write_volume('m.mrc', Volume(data=v, pixel_size_A=4.0));"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (2048, 2048));"
        "sys.exit(main(['project', 'm.mrc', '--views', '5', '-o', 'o', '--threads', '1']))"
    )
    ended = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=False, capture_output=True, text=True)
    assert ended.returncode == 1
    assert "Traceback" not in ended.stderr
    assert "File too large: 'o/" in ended.stderr
    assert (tmp_path / "o" / "RELION_JOB_EXIT_FAILURE").exists()
