"""Damaged files through every reader: what comes out is a result, or an error of ours that names the file.

Inputs are made by atheris (coverage-guided, `pip install atheris`), or by a mutator of our own where it is missing.
`make fuzz` runs all readers; `python -m benchmarks fuzz --reader star --inputs 100000` one. An input that ends in
anything else is kept in `bench-out/fuzz/READER/`, with what was raised.
"""

import argparse
import importlib
import io
import json
import os
import random
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import gemmi
import numpy as np

__all__ = ["READERS", "add_options", "measure", "table", "unclean"]

OUT = Path("bench-out") / "fuzz"


@dataclass(frozen=True, kw_only=True)
class Reader:
    """What reads a file, the name that it has on the disk, valid files to begin with, and what may be raised."""

    read: Callable[[Path], object]
    name: str
    seeds: Callable[[], list[bytes]]
    names_file: bool = True  # an error has to name the file; where nothing may be raised at all, there is none


@dataclass(frozen=True, kw_only=True)
class State:
    """Of an algorithm, as checkpoints keep it."""

    iteration: int
    values: np.ndarray
    words: tuple[str, ...]


def _star(path: Path) -> None:
    from vitreous.particles import read_particles, read_star

    read_star(path)
    _use(read_particles(path))


def _particles(path: Path) -> None:
    from vitreous.particles import read_particles

    _use(read_particles(path))


def _use(particles: Any) -> None:
    from vitreous.particles import ParticleFileError, check_particles

    for name in ("box_px", "pixel_size_A", "ctf", "origin_A", "micrograph"):
        try:
            getattr(particles, name)
        except ParticleFileError:
            continue
    if len(particles) < 50:
        check_particles(particles).lines()


def _mrc(path: Path) -> None:
    from vitreous.particles import open_stack, read_volume

    stack = open_stack(path)
    stack.read(np.arange(len(stack)))
    read_volume(path)


def _points(path: Path) -> None:
    from vitreous.mixtures import read_points

    read_points(path)


def _checkpoint(path: Path) -> None:
    from vitreous.jobs.checkpoints import load_newest

    load_newest(path.parent.parent, State, say=str)


def _history(path: Path) -> None:
    from vitreous.jobs.history import read_history, rewind_history

    rewind_history(path.parent, 3)
    read_history(path.parent)


def _manifest(path: Path) -> None:
    from vitreous.jobs.folder import clear_job, job_status
    from vitreous.jobs.manifest import read_manifest

    read_manifest(path.parent)
    job_status(path.parent)
    clear_job(path.parent)


STAR = b"""# version 30001
data_optics
loop_
_rlnOpticsGroup #1
_rlnImagePixelSize #2
_rlnImageSize #3
_rlnVoltage #4
_rlnSphericalAberration #5
_rlnAmplitudeContrast #6
1 2.5 4 300 2.7 0.1
data_particles
loop_
_rlnImageName #1
_rlnOpticsGroup #2
_rlnDefocusU #3
_rlnAnglePsi #4
_rlnOriginXAngst #5
000001@a.mrcs 1 10000.0 3.5 -1
000002@a.mrcs 1 'a b' "nan" 1e3
"""
OLD_STAR = b"data_\nloop_\n_rlnImageName\n_rlnMagnification\n_rlnDetectorPixelSize\n1@a.mrcs 10000 5\n"


def _mrc_bytes() -> bytes:
    from vitreous.particles.mrc_header import build_header

    header = build_header(
        shape=(2, 4, 4), dtype=np.dtype("<f4"), pixel_size_A=2.5, is_volume=False, minimum=0, maximum=1, mean=0, rms=1
    )
    return header + np.arange(32, dtype="<f4").tobytes()


def _npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def _npz(compressed: bool, **arrays: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(buffer, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()


def _cs() -> list[bytes]:
    kinds = [
        ("uid", "<u8"),
        ("blob/path", "S8"),
        ("blob/idx", "<u4"),
        ("blob/shape", "<u4", (2,)),
        ("blob/psize_A", "<f4"),
    ]
    kinds += [("alignments2D/pose", "<f4"), ("alignments2D/shift", "<f4", (2,)), ("alignments2D/class", "<u4")]
    array = np.zeros(2, dtype=kinds)
    array["blob/path"], array["blob/idx"], array["blob/shape"] = b"a.mrcs", [0, 1], 4
    return [_npy(array), _npy(array[:1])]


def _models() -> list[bytes]:
    line = "ATOM      1  CA  ALA A   1      11.104   6.134  -6.504  1.00  0.00           C\n"
    pdb = ("CRYST1   10.000   10.000   10.000  90.00  90.00  90.00 P 1\n" + line * 3 + "END\n").encode()
    return [pdb, gemmi.read_pdb_string(pdb.decode()).make_mmcif_document().as_string().encode()]


def _checkpoints() -> list[bytes]:
    from vitreous.iterate import state_to_arrays

    state = State(iteration=3, values=np.arange(4.0), words=("a", "b"))
    return [_npz(False, **state_to_arrays(state)), _npz(True, **state_to_arrays(state))]


def _histories() -> list[bytes]:
    lines = [json.dumps({"iteration": i, "resolution_A": 10.0 / i, "text": "a\u00e9"}) for i in (1, 2, 3)]
    return ["\n".join(lines).encode()]


def _manifests() -> list[bytes]:
    from vitreous.jobs.manifest import new_manifest, write_manifest

    with tempfile.TemporaryDirectory() as folder:
        made = new_manifest("class2d", {"classes": 3}, seed=1, inputs=["a.star"], files=["run_*.star", "a/b.mrc"])
        write_manifest(folder, made.started("vitreous class2d"))
        return [(Path(folder) / "job.json").read_bytes()]


TABLE = [b"x,y,z\n1,2,3\n4;5;6\n# c\n7 8 9\n", b"1 2 3\n"]
POINTS = np.arange(12.0).reshape(4, 3)
READERS = {
    "star": Reader(read=_star, name="p.star", seeds=lambda: [STAR, OLD_STAR]),
    "mrc": Reader(read=_mrc, name="b.mrc", seeds=lambda: [_mrc_bytes()]),
    "cs": Reader(read=_particles, name="p.cs", seeds=_cs),
    "npy": Reader(read=_points, name="p.npy", seeds=lambda: [_npy(POINTS), _npy(POINTS.astype("<i2"))]),
    "npz": Reader(
        read=_points, name="p.npz", seeds=lambda: [_npz(False, points=POINTS), _npz(True, points=POINTS, other=POINTS)]
    ),
    "pdb": Reader(read=_points, name="p.pdb", seeds=lambda: _models()[:1]),
    "cif": Reader(read=_points, name="p.cif", seeds=lambda: _models()[1:]),
    "table": Reader(read=_points, name="p.csv", seeds=lambda: TABLE),
    "checkpoint": Reader(read=_checkpoint, name="checkpoints/it000003.npz", seeds=_checkpoints, names_file=False),
    "history": Reader(read=_history, name="history.jsonl", seeds=_histories, names_file=False),
    "manifest": Reader(read=_manifest, name="job.json", seeds=_manifests),
}
PIECES = (
    b"\n",
    b"'",
    b'"',
    b"loop_\n",
    b"data_x\n",
    b"_a\n",
    b"#",
    b"\0",
    b"\xff",
    b"nan",
    b"1e999",
    b"-1",
    b"((",
    b"{",
)
PIECES += (b"\xff\xff\xff\x7f", b"\x00\x00\x00\x80", b"\xff" * 4, b"\x00" * 4, b"'|O'", b"99999999999", b"[[", b"null")


def unclean(reader: Reader, path: Path) -> str | None:
    """What a file makes its reader raise that it must not; None where it is read, or refused in words of ours."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            reader.read(path)
        except (ValueError, OSError) as error:
            said = str(error)
            if not reader.names_file or str(path) not in said or "\n" in said.strip():
                return f"{type(error).__name__}: {said}"
        except Exception as error:  # noqa: BLE001 what else comes out is what is looked for
            return f"{type(error).__name__}: {error}"
    return None


class Trial:
    """Writes an input where its reader looks for it, counts, and keeps those that end unclean."""

    def __init__(self, name: str, folder: Path, kept: Path) -> None:
        self.reader, self.kept, self.count, self.found = READERS[name], kept, 0, {}
        self.path = folder / self.reader.name
        self.path.parent.mkdir(parents=True, exist_ok=True)
        (folder / "a.mrcs").write_bytes(_mrc_bytes())

    def __call__(self, content: bytes) -> None:
        """One input."""
        self.path.write_bytes(content)
        said = unclean(self.reader, self.path)
        self.count += 1
        kind = None if said is None else said.partition(":")[0] + said[-40:]
        if said is not None and kind not in self.found:
            self.found[kind] = said
            self.kept.mkdir(parents=True, exist_ok=True)
            (self.kept / f"{len(self.found):03d}.bin").write_bytes(content)
            (self.kept / f"{len(self.found):03d}.txt").write_text(said)


def mutated(content: bytes, draw: random.Random) -> bytes:
    """A few bytes overwritten, pieces put in, removed or repeated, or the end cut off."""
    data = bytearray(content)
    for _ in range(draw.randint(1, 5)):
        at, piece = draw.randint(0, len(data)), draw.choice(PIECES)
        match draw.randrange(7):
            case 0:
                data[at : at + len(piece)] = piece
            case 1:
                data[at:at] = piece
            case 2:
                del data[at : at + draw.randint(1, 20)]
            case 3:
                data[at:at] = data[at : at + draw.randint(1, 60)]
            case 4:
                data[at : at + 1] = draw.randbytes(1)
            case 5 if data:
                at = min(at, len(data) - 1)
                data[at] ^= 1 << draw.randrange(8)
            case _ if draw.random() < 0.2:
                del data[at:]
    return bytes(data)


def one_reader(name: str, inputs: int, seed: int, engine: str) -> None:
    """Fuzz one reader in this process; the last line on the screen is the record."""
    if engine == "atheris":
        _instrumented()
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        trial = Trial(name, Path(folder), OUT / name)
        start = time.process_time()

        def tell() -> None:
            record = {
                "inputs": trial.count,
                "unclean": len(trial.found),
                "cpu_s": round(time.process_time() - start, 1),
            }
            print(json.dumps(record | {"said": list(trial.found.values())[:20]}), flush=True)

        if engine == "mutate":
            draw = random.Random(seed)
            seeds = trial.reader.seeds()
            for _ in range(inputs):
                trial(mutated(draw.choice(seeds), draw))
            tell()
            return
        _atheris(trial, inputs, seed, Path(folder), tell)


def _instrumented() -> None:
    """Import what is fuzzed so that atheris sees which lines an input reaches."""
    import atheris

    with atheris.instrument_imports(include=["vitreous.particles", "vitreous.jobs", "vitreous.mixtures.fit"]):
        for name in ("particles", "jobs.checkpoints", "jobs.folder", "mixtures.fit.points"):
            importlib.import_module(f"vitreous.{name}")


def _atheris(trial: Trial, inputs: int, seed: int, folder: Path, tell: Callable[[], None]) -> None:
    """Inputs that reach new code are kept and changed further; libFuzzer ends the process when it has done all."""
    import atheris

    corpus = folder / "corpus"
    corpus.mkdir()
    seeds = trial.reader.seeds()
    for i, content in enumerate(seeds):
        (corpus / f"{i}").write_bytes(content)
    draw = random.Random(seed)

    def change(data: bytes, most: int, number: int) -> bytes:
        """libFuzzer's own changes, and ours, which know what separates the parts of these files."""
        found = mutated(data, draw) if draw.random() < 0.5 else atheris.Mutate(data, most)
        return bytes(found)[:most]

    def test(data: bytes) -> None:
        trial(data)
        if trial.count >= inputs:
            tell()
            os._exit(0)

    words = [sys.argv[0], f"-seed={seed + 1}", "-max_len=4096", "-rss_limit_mb=4096", "-timeout=20", "-verbosity=0"]
    atheris.Setup([*words, str(corpus)], test, custom_mutator=change)
    atheris.Fuzz()


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options of ``python -m benchmarks fuzz``."""
    parser.add_argument("--reader", choices=READERS, action="append", help="only these readers; default: all")
    parser.add_argument("--inputs", type=int, default=1_000_000, help="in all, shared by the readers")
    parser.add_argument("--add", action="store_true", help="to what bench-out/fuzz.json has from earlier runs")
    parser.add_argument("--engine", choices=("auto", "atheris", "mutate"), default="auto")
    parser.add_argument("--seed", type=int, default=0)


def measure(options: argparse.Namespace, work: Path) -> dict[str, Any]:
    """Each reader in a process of its own: a crash is an unclean end, too."""
    engine = options.engine
    if engine == "auto":
        engine = "atheris" if find_spec("atheris") else "mutate"
    names, record = options.reader or list(READERS), work.with_suffix(".json")
    earlier = json.loads(record.read_text())["figures"]["readers"] if options.add and record.is_file() else {}
    found: dict[str, Any] = {}
    for name in names:
        words = [name, str(options.inputs // len(names)), str(options.seed), engine]
        command = [sys.executable, "-m", "benchmarks.fuzz", *words]
        ended = subprocess.run(command, check=False, capture_output=True, text=True)
        lines = [line for line in ended.stdout.splitlines() if line.startswith("{")]
        if ended.returncode or not lines:
            found[name] = {"inputs": 0, "unclean": 1, "cpu_s": 0.0, "said": [(ended.stderr or "no word")[-2000:]]}
        else:
            found[name] = json.loads(lines[-1])
        print(f"{name}: {found[name]}", flush=True)
    found = {name: _sum(earlier.get(name), found.get(name)) for name in READERS if name in {*earlier, *found}}
    inputs, bad = (sum(each[key] for each in found.values()) for key in ("inputs", "unclean"))
    return {"engine": engine, "inputs": inputs, "unclean": bad, "readers": found}


def _sum(one: dict[str, Any] | None, other: dict[str, Any] | None) -> dict[str, Any]:
    """The figures of two runs of a reader."""
    if one is None or other is None:
        return one or other or {}
    return {key: one[key] + other[key] for key in ("inputs", "unclean", "said", "cpu_s")}


def table(figures: dict[str, Any]) -> str:
    """Markdown."""
    rows = [
        f"| {name} | {r['inputs']:,} | {r['unclean']} | {r['cpu_s']:.0f} |" for name, r in figures["readers"].items()
    ]
    head = f"{figures['inputs']:,} inputs ({figures['engine']}), {figures['unclean']} unclean ends.\n\n"
    head += f"{figures['note']}\n\n" if "note" in figures else ""
    return head + "| reader | inputs | unclean | CPU s |\n| --- | --- | --- | --- |\n" + "\n".join(rows) + "\n"


if __name__ == "__main__":
    one_reader(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
