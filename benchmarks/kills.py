"""Jobs that are killed at random moments, resumed, and compared with uninterrupted ones, bit by bit; full disks.

Every command of the program runs on tiny inputs. A run is ended by SIGKILL or SIGTERM after a random part of the time
that it takes, and resumed with the other number of threads; the files that it leaves are compared with those of a run
that nobody touched. Then: jobs on a disk that fills up (a limit on the size of files), and jobs whose input is cut
short while they read it: each has to end with a sentence.
"""

import argparse
import json
import os
import random
import resource
import shutil
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import mrcfile
import numpy as np

from benchmarks.forks import in_a_fork, in_this_process

__all__ = ["COMMANDS", "add_options", "differing", "limited", "measure", "table"]

SET = ("--particles", "160", "--box", "24", "--pixel-size-A", "12", "--snr", "0.5", "--defocus-groups", "2")
QUICK = ("--burn-in-steps", "10", "--fine-components", "60", "--rounds-annealed", "20")
ONE_THREAD = frozenset({"mixture"})  # by nature
COMMANDS: dict[str, tuple[int, Sequence[str]]] = {  # name -> share of 100 kills; words, capitals are inputs
    "class2d": (12, ("class2d", "P", "--K", "4", "--iter", "6")),
    "denoise": (12, ("denoise", "P")),
    "neighbours": (10, ("neighbours", "P", "--runs", "1", "--averages", "4")),
    "deconvolve": (10, ("deconvolve", "C")),
    "initial": (6, ("initial", "D", "--restarts", "1", "--components", "40", "--samples", "8", *QUICK)),
    "mixture": (12, ("mixture", "M", "--components", "40", "--method", "gibbs", "--samples", "20")),
    "reconstruct": (12, ("reconstruct", "T", "--method", "cg")),
    "project": (4, ("project", "M", "--views", "40")),
    "postprocess": (4, ("postprocess", "R", "--no-local")),
    "abinitio": (8, ("abinitio", "P", "--starts", "1", "--iterations", "4", "--resolution-limit-A", "60")),
    "refine": (8, ("refine", "T", "--iterations", "3")),
    "align": (6, ("align", "P", "--starts", "2", "--iterations", "6")),
    "stability": (4, ("stability", "C", "--starts", "2", "--iterations", "4")),
    "isac": (4, ("isac", "P", "--img-per-grp", "24", "--runs", "2", "--starts", "2", "--generations", "1")),
    "pick": (4, ("pick", "U", "--diameter-A", "100", "--false-picks", "5")),
    "extract": (4, ("extract", "K", "--box", "28")),
    "ctf": (4, ("ctf", "U", "--voltage-kV", "300", "--cs-mm", "2.7")),
    "run-micrographs": (2, ("run", "U", "--particle-diameter-A", "100", "--starts", "1", "--no-refine", "--no-check")),
    "run": (2, ("run", "P", "--classes", "4", "--starts", "1", "--no-refine")),
}
SLOW = frozenset({"initial", "isac", "run", "run-micrographs"})
SIZES = (16 << 10, 32 << 10, 128 << 10, 512 << 10)  # bytes that a file may have
END = ("-o", "job")
VOLATILE = ("job.json", "run.log", "note.txt", "report.html", "history.jsonl", ".lock")  # times of day, seconds


def differing(one: Path, other: Path) -> list[str]:
    """Files of two job folders that are not the same, bit by bit; records with times are left out."""
    names = {p.relative_to(f) for f in (one, other) for p in f.rglob("*") if p.is_file() and _result(p)}
    same = [
        n for n in names if (one / n).is_file() and (other / n).is_file() and _content(one / n) == _content(other / n)
    ]
    return sorted(str(name) for name in names.difference(same))


def _result(path: Path) -> bool:
    return path.name not in VOLATILE and not path.name.startswith("RELION_JOB") and path.suffix != ".log"


def _content(path: Path) -> Any:
    if path.suffix == ".npz":  # the archive has times of day
        with np.load(path) as arrays:
            return {name: arrays[name].tobytes() for name in arrays.files}
    return path.read_bytes()


def inputs(work: Path) -> dict[str, str]:
    """Tiny inputs for all commands, by the capitals in COMMANDS."""
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)

    def done(*words: str, to: str) -> Path:
        ended = in_this_process([*words, "-o", to], work)
        if ended.status:
            raise RuntimeError(ended.said)
        return work / to

    simulated = done("simulate", *SET, to="simulated")
    classes = done("class2d", f"{simulated}/particles.star", "--K", "4", "--iter", "6", to="classes")
    averages = done("deconvolve", f"{classes}/run_data.star", to="averages")
    micrographs(work / "micrographs")
    picks = done("pick", f"{work}/micrographs", "--diameter-A", "100", "--false-picks", "5", to="picks")
    half = done("reconstruct", f"{simulated}/truth.star", to="half")
    return {
        "P": f"{simulated}/particles.star",
        "T": f"{simulated}/truth.star",
        "C": f"{classes}/run_data.star",
        "D": str(averages),
        "M": f"{half}/reconstruction.mrc",
        "R": str(half),
        "U": f"{work}/micrographs",
        "K": str(picks),
    }


def micrographs(folder: Path, count: int = 10) -> None:
    """Small pictures of dark discs with a hole off their centre, of 20 pixels of 5 A."""
    folder.mkdir()
    axis = np.arange(32) - 16
    disc = 1.0 / (1.0 + np.exp(2.0 * (np.hypot(axis[:, None], axis) - 9.0)))
    disc = disc - 0.9 * disc * np.exp(-(np.square(axis[:, None]) + np.square(axis - 4.0)) / 12.0)
    for i in range(count):
        rng = np.random.default_rng(i)
        picture = 100.0 + rng.normal(size=(320, 384))
        for y in range(40, 300, 40):
            for x in range(40, 360, 40):
                there = np.rot90(disc, rng.integers(4))
                picture[y - 16 : y + 16, x - 16 : x + 16] -= 2.5 * there
        with mrcfile.new(folder / f"m{i}.mrc") as file:
            file.set_data(picture.astype(np.float32))
            file.voxel_size = 5.0


def _once(name: str, words: Sequence[str], work: Path, whole: Path, usual_s: float, draw: random.Random) -> str:
    """Kill a job once or twice, resume it to its end; "" or what is wrong with what it left."""
    folder = work / "killed"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for _ in range(draw.choice((1, 1, 2))):
        how = draw.choice((signal.SIGKILL, signal.SIGTERM))
        moment = draw.uniform(0.25, 1.0) * usual_s
        ended = in_a_fork([*words, *END, "--resume", *_threads(name, draw.choice("12"))], folder, kill=(moment, how))
        if ended.status not in (0, -signal.SIGKILL, -signal.SIGTERM, 130, 143):
            return f"{name}: ended by itself with {ended.status} before the kill: {ended.said}"
    ended = in_a_fork([*words, *END, "--resume", *_threads(name, draw.choice("12"))], folder)
    if ended.status:
        return f"{name}: resumed, it ends with {ended.status}: {ended.said}"
    other = differing(whole / "job", folder / "job")
    return f"{name}: other files: {', '.join(other)}" if other else ""


def _threads(name: str, count: str = "1") -> tuple[str, ...]:
    return () if name in ONE_THREAD else ("--threads", count)


def kills(given: dict[str, str], work: Path, count: int, seed: int, names: Sequence[str]) -> dict[str, Any]:
    """``count`` kills, shared by the commands."""
    draw, wrong, done = random.Random(seed), [], dict.fromkeys(names, 0)
    for name in names:
        words = [given.get(word, word) for word in COMMANDS[name][1]]
        whole = work / f"whole_{name}"
        whole.mkdir()
        ended = in_this_process([*words, *END, *_threads(name)], whole)
        usual_s = in_a_fork([*words, *END, *_threads(name), "--overwrite"], whole).seconds
        if ended.status:
            wrong.append(f"{name}: uninterrupted, it ends with {ended.status}: {ended.said}")
            continue
        for _ in range(max(1, COMMANDS[name][0] * count // 100)):
            said = _once(name, words, work, whole, usual_s, draw)
            done[name] += 1
            wrong += [said] if said else []
        print(f"{name}: {done[name]} kills, {usual_s:.1f} s each, {wrong}", flush=True)
    return {"kills": done, "wrong": wrong}


def full_disks(given: dict[str, str], work: Path, names: Sequence[str]) -> dict[str, Any]:
    """Every command, with files that may grow to a few sizes only: each ends well, or with a sentence."""
    jobs = [(name, size) for name in names for size in (SIZES[1:2] if name in SLOW else SIZES)]
    mute, ended_well = [], 0
    for name, size in jobs:
        folder = work / "full"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        words = [given.get(word, word) for word in COMMANDS[name][1]]
        ended = in_a_fork([*words, *END, *_threads(name)], folder, first=limited(size))
        ended_well += ended.status == 0
        if not ended.clean:
            mute.append(f"{name}, {size} bytes: {ended.status} {ended.said}")
    return {"disks": len(jobs), "ended_well": ended_well, "mute": mute}


def limited(size: int) -> Callable[[], None]:
    """What a process does to itself so that its files may have ``size`` bytes at most."""

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # as on a full disk, the call returns an error
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

    return limit


def cut_inputs(given: dict[str, str], work: Path, count: int, seed: int) -> dict[str, Any]:
    """A stack that is cut short while a job reads it: it ends well, or with a sentence that names the stack."""
    draw, mute, ended_well = random.Random(seed), [], 0
    jobs = ("class2d", "denoise", "neighbours", "abinitio", "refine", "align")
    for i in range(count):
        folder = work / "cut"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(Path(given["P"]).parent, folder)
        name = jobs[i % len(jobs)]
        here = {"P": "particles.star", "T": "truth.star"}
        words = [here.get(word, word) for word in COMMANDS[name][1]]

        def cut(stack: Path = folder / "particles.mrcs") -> None:
            time.sleep(draw.uniform(0.0, 2.0))
            os.truncate(stack, draw.randrange(1024, 200_000))

        ended = in_a_fork([*words, *END, *_threads(name)], folder, during=cut)
        ended_well += ended.status == 0
        if not ended.clean:
            mute.append(f"{name}: {ended.status} {ended.said}")
    return {"cuts": count, "ended_well": ended_well, "mute": mute}


def added(earlier: dict[str, Any], found: dict[str, Any]) -> dict[str, Any]:
    """The figures of two runs: of a command that is in both, those of the later one; disks and cuts add up."""
    again = [name for name, count in found["kills"].items() if count]
    wrong = [text for text in earlier["wrong"] if text.partition(":")[0] not in again]
    sums = {key: {k: earlier[key][k] + found[key][k] for k in found[key]} for key in ("full", "cut")}
    return {**sums, "kills": earlier["kills"] | found["kills"], "wrong": wrong + found["wrong"]}


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options of ``python -m benchmarks kills``."""
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--cuts", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--add", action="store_true", help="to what bench-out/kills.json has of other commands")
    parser.add_argument("--command", choices=COMMANDS, action="append", help="only these; default: all")


def measure(options: argparse.Namespace, work: Path) -> dict[str, Any]:
    """Kills, full disks, inputs that are cut short."""
    names, work, record = options.command or list(COMMANDS), work.resolve(), work.with_suffix(".json")
    earlier = json.loads(record.read_text())["figures"] if options.add and record.is_file() else None
    given = inputs(work)
    full, cut = full_disks(given, work, names), cut_inputs(given, work, options.cuts, options.seed + 1)
    print(json.dumps({"full": full, "cut": cut}, indent=1), flush=True)
    found = {"full": full, "cut": cut, **kills(given, work, options.kills, options.seed, names)}
    return found if earlier is None else added(earlier, found)


def table(figures: dict[str, Any]) -> str:
    """Markdown."""
    count, wrong, full, cut = sum(figures["kills"].values()), figures["wrong"], figures["full"], figures["cut"]
    lines = [
        f"{count} jobs killed at random moments and resumed: {count - len(wrong)} with the same bits "
        f"({', '.join(f'{name} {n}' for name, n in figures['kills'].items())}).",
        f"{full['disks']} jobs on a disk that fills up: {full['ended_well']} had room, {len(full['mute'])} ended "
        "without a word.",
        f"{cut['cuts']} jobs whose stack was cut short as they ran: {cut['ended_well']} had read it, "
        f"{len(cut['mute'])} ended without a word.",
    ]
    lines += [figures["note"]] if "note" in figures else []
    return "\n\n".join([*lines, *wrong, *full["mute"], *cut["mute"]]) + "\n"
