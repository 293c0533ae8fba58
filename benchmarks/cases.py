"""Small inputs that failed once, kept beside the project: what is expected of each, and what happens now.

The inputs lie in `../shared/cases`, a folder a case, and are never part of the project; where they are absent the
measurement is skipped. Where a case makes its input on the fly, so does this. Each is tried by the commands that its
description names, with fewer iterations where they change nothing.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import cases_made as made
from benchmarks.forks import Ended, in_a_fork
from benchmarks.kills import limited
from benchmarks.record import REPOSITORY, commit
from benchmarks.sticks import NotAvailable
from benchmarks.tables import markdown_table

__all__ = ["CASES", "add_options", "measure", "table"]

DEFAULT = Path(os.path.relpath(REPOSITORY.parent / "shared" / "cases", REPOSITORY))
RELION = """relion_refine --i relion/p.star --o relion/r --K 2 --iter 1 --particle_diameter 300 --ctf --zero_mask
--oversampling 0 --psi_step 45 --offset_range 1 --offset_step 1 --j 1"""
Tried = tuple[bool, str]  # whether it is right, and what was seen


@dataclass(frozen=True, kw_only=True)
class Case:
    """What is expected, and how it is tried in a copy of the case's folder."""

    expected: str
    tried: Callable[[Path], Tried]


def _run(folder: Path, *words: object, first: Callable[[], None] = lambda: None, **more: Any) -> Ended:
    """A command with one thread."""
    threads = () if words[0] in ("check", "copy", "mixture") else ("--threads", "1")
    return in_a_fork([*map(str, words), *threads], folder, first=first, **more)


def _class2d(folder: Path, star: object, *more: object, out: str = "out", steps: int = 3, **how: Any) -> Ended:
    return _run(folder, "class2d", star, "-o", out, "--K", 3, "--iter", steps, *more, **how)


def _lines(ended: Ended, pattern: str) -> list[str]:
    return [line.strip() for line in ended.out.splitlines() if re.search(pattern, line)]


def _all(*parts: tuple[object, str]) -> Tried:
    """Right where every part is; the words are those of the first that is wrong, or of all."""
    wrong = [said for right, said in parts if not right]
    return not wrong, wrong[0] if wrong else "; ".join(said for _, said in parts if said)


def _aberrations(folder: Path) -> Tried:
    columns = ("rlnMagMat00", "rlnBeamTiltX", "rlnEvenZernike")
    named = [all(c in e.out for c in columns) for e in (_run(folder, "check", "p.star"), _class2d(folder, "p.star"))]
    return all(named), "`check` and `class2d` name the columns that are not used" if all(named) else "not named"


def _bad_ctf(folder: Path) -> Tried:
    parts = []
    for name in made.changed_ctf(folder):
        ended, classes = _class2d(folder, f"{name}.star", out=name), made.classes(folder / name)
        bad = int(np.count_nonzero(classes == 0)) if classes is not None else -1
        parts.append((ended.status == 0 and 1 <= bad < 60, f"{name}: {bad} refused" if bad >= 0 else ended.said))
    return _all(*parts)


def _cs_both(folder: Path) -> Tried:
    said = _lines(_run(folder, "deconvolve", "both.cs", "-o", "out"), "alignments2D")
    return any("not used: alignments3D" in line for line in said), "; ".join(said) or "nothing is said"


def _for_relion(folder: Path) -> Tried:
    ended = _class2d(folder, "ok.cs")
    if ended.status or shutil.which("relion_refine") is None:
        return ended.status == 0, ended.said or "written; RELION is not installed"
    copied = _run(folder, "copy", "out/run_data.star", "-o", "relion/p.star")
    read = subprocess.run(RELION.split(), cwd=folder, capture_output=True, text=True, check=False)
    wrong = copied.said or " ".join(read.stderr.split())[-200:]
    return read.returncode == 0, "RELION 3.1 classifies what `copy` makes of it" if not read.returncode else wrong


def _damaged(folder: Path) -> Tried:
    names = ("bad.npz", "raw.npz", "token.npy", "token.npz", "empty.cif", "empty.pdb", "junk.cif.gz", "hang.mrc")
    ends = {name: _run(folder, "mixture", name, "-o", "out") for name in names}
    ends["hang.mrc, check"] = _run(folder, "check", "hang.mrc")
    parts = [
        (e.status == 1 and e.clean and name.partition(",")[0] in e.said + e.out and e.seconds < 20, f"{name}: {e.said}")
        for name, e in ends.items()
    ]
    right, said = _all(*parts)
    return right, f"{len(parts)} files refused, each by its name" if right else said


def _memory(folder: Path) -> Tried:
    star = made.particles(folder, 600, 64)
    for memory in ("4G", "1M"):
        _class2d(folder, star, "--memory", memory, "--seed", 3, out=memory)
    same = [
        (folder / "4G" / n).read_bytes() == (folder / "1M" / n).read_bytes()
        for n in ("run_data.star", "run_classes.mrcs")
    ]
    return all(same), "the same bits" if all(same) else "other results"


def _colon(folder: Path) -> Tried:
    ended = _run(folder, "check", "p.star")
    return ended.status == 0, "`check`: " + (ended.out.splitlines() or [ended.said])[-1]


def _nan(folder: Path) -> Tried:
    star = made.particles(folder, 40, 32)
    options = ("--tau2-fudge nan", "--tau2-fudge inf", "--offset-range-A nan", "--particle-diameter-A nan")
    ends = [_class2d(folder, star, *each.split()) for each in options]
    return all(e.status == 1 and e.clean for e in ends), ends[0].said.removeprefix("vitreous: ")


def _noise(folder: Path) -> Tried:
    ended = _run(folder, "neighbours", made.noise(folder, 1000, 64), "-o", "out", "--runs", 1, "--averages", 20)
    said = [line for line in ended.out.splitlines() if "nothing was found" in line]
    return ended.status == 0 and bool(said), said[0] if said else ended.said or "a claim"


def _offset(folder: Path) -> Tried:
    ended = _class2d(folder, made.particles(folder, 40, 32), "--offset-range-A", "1e5", first=made.little_memory)
    return ended.clean, ended.said.removeprefix("vitreous: ") or "done within 4 GB"


def _bad_stack(folder: Path) -> Tried:
    parts = []
    for name in ("missing", "beyond", "truncated", "box"):
        checked = _run(folder, "check", f"{name}.star")
        ends = [checked, _class2d(folder, f"{name}.star", out=f"c_{name}")]
        ends += [_run(folder, job, f"{name}.star", "-o", f"{job}_{name}", *more) for job, more in made.NEIGHBOURS]
        ends.append(_run(folder, "deconvolve", f"c_{name}/run_data.star", "-o", f"d_{name}"))
        bad = [e for e in ends if e.status]
        parts.append((not bad, bad[0].said if bad else f"{name}: {', '.join(_lines(checked, '^bad'))[:60]}"))
    right, said = _all(*parts)
    return right, "the rest goes on, and the bad ones are counted" if right else said


def _hot_pixel(folder: Path) -> Tried:
    checked, ended = _run(folder, "check", "p.star"), _run(folder, "class2d", "p.star", "-o", "out", "--K", 4)
    near = _run(folder, "neighbours", "p.star", "-o", "nb", "--runs", 1)
    named = _lines(checked, "neither noise nor particle|outlier|hot")
    done = _lines(ended, "^done")
    return _all(
        (named, named[0] if named else "`check` does not mention it"),
        (done, "class2d: " + (done or [ended.said or ended.out.splitlines()[-1]])[0]),
        (near.status == 0 and "nothing was found" not in near.out, near.said or "neighbours: done"),
    )


def _nan_defocus(folder: Path) -> Tried:
    ends = [_class2d(folder, "p.star")]
    ends += [_run(folder, job, "p.star", "-o", job, *more) for job, more in made.NEIGHBOURS]
    bad = [e for e in ends if e.status]
    return not bad, bad[0].said if bad else "; ".join(_lines(ends[0], "defocus .*not|not finite|impossible|CTF param"))


def _phase_flipped(folder: Path) -> Tried:
    return _ctf_applied(folder, "flip", "--ctf_phase_flipped")


def _premultiplied(folder: Path) -> Tried:
    refused = _run(folder, "run", "p.star", "-o", "run", "--classes", 4)
    right, said = _ctf_applied(folder, "pre")
    return _all((right, said), (refused.clean, f"`run`: {refused.said.removeprefix('vitreous: ')}"))


def _ctf_applied(folder: Path, name: str, *more: str) -> Tried:
    """Averages of the images as they were extracted, and of those, agree in sign and size at 20 to 25 A."""
    made.ctf_applied(folder)
    for star, words in (("hd/particles", ()), (name, more)):
        ended = _run(folder, "class2d", f"{star}.star", "-o", f"o_{name[:2]}{len(words)}{star[:2]}", "--K", 4, *words)
        if ended.status:
            return False, ended.said
    correlation = made.band_correlation(folder, sorted(folder.glob(f"o_{name[:2]}*")))
    return min(correlation) > 0.3, (
        f"averages and clean projections correlate by {min(correlation):.2f} to {max(correlation):.2f} at 21 to 24 A"
    )


def _phase_plate(folder: Path) -> Tried:
    star = made.phase_plate(folder)
    ends = [_run(folder, job, star, "-o", job, *more) for job, more in made.NEIGHBOURS]
    notes = [line for e in ends for line in _lines(e, "phase error|defocus groups|CTF groups")]
    bad = [e for e in ends if e.status]
    return not bad, bad[0].said if bad else (notes or ["done"])[0]


def _pixel_sizes(folder: Path) -> Tried:
    ended = _class2d(folder, "p.star")
    return ended.status == 0, ended.said or "; ".join(_lines(ended, "taken as"))


def _continue(folder: Path) -> Tried:
    star = made.particles(folder, 60, 32)
    first = _class2d(folder, star)
    ended = _run(folder, "class2d", "--continue", "out/run_it003_optimiser.star", "--iter", 6)
    done = (folder / "out" / "run_it006_data.star").is_file() or "iteration 4" in ended.out
    return first.status == ended.status == 0 and done, ended.said or "goes on, to more iterations"


def _changed(folder: Path) -> Tried:
    star = made.particles(folder, 600, 64)
    words = ["class2d", str(star), "-o", "job", "--K", "5", "--iter", "40", "--threads", "1"]
    in_a_fork(words, folder, during=lambda: made.wait_for(folder / "job/checkpoints/it000002.npz"), kill=(0.0, 9))
    made.other_defocus(folder / star)
    ended = in_a_fork([*words, "--resume"], folder)
    return ended.status == 1 and "changed" in ended.said, ended.said.removeprefix("vitreous: ") or "goes on"


def _dark(folder: Path) -> Tried:
    words = ("--classes", 4, "--no-refine", "--worst-resolution-A", 1)  # which none has: it ends after the classes
    ended = _run(folder, "run", "p.star", "-o", "out", *words)
    said = _lines(ended, "dark")
    return bool(said) and ended.clean, "; ".join(said) or ended.said or "not a word of it"


def _full_disk(folder: Path) -> Tried:
    star = made.particles(folder, 600, 64)
    ends = [
        _class2d(folder, star, "--memory", "1M", out=f"j{size}", first=limited(size)) for size in (1 << 18, 1 << 20)
    ]
    return all(e.status == 1 and e.clean for e in ends), ends[-1].said.removeprefix("vitreous: ")


def _truncated(folder: Path) -> Tried:
    star = made.particles(folder, 600, 64)

    def cut() -> None:
        made.wait_for(folder / "out/checkpoints/it000002.npz")
        os.truncate(folder / star.with_suffix(".mrcs"), 1_000_000)

    ended = _class2d(folder, star, "--memory", "1M", steps=30, during=cut)
    return ended.status == 1 and ended.clean, ended.said.removeprefix("vitreous: ")


CASES = {
    "aberrations_ignored_in_silence": Case(expected="columns that are not used are named", tried=_aberrations),
    "bad_ctf_one": Case(expected="one bad row gets no weight, the rest goes on", tried=_bad_ctf),
    "cs_class_from_2d_pose_from_3d": Case(
        expected="class, psi and shift from one alignment, which is said", tried=_cs_both
    ),
    "cs_output_unreadable_for_relion": Case(
        expected="RELION reads what was written from a `.cs` file", tried=_for_relion
    ),
    "damaged_files": Case(expected="a sentence that names the file", tried=_damaged),
    "memory_changes_result": Case(expected="the same result with any memory", tried=_memory),
    "mrc_colon_mrcs_names": Case(expected="`:mrcs` is the format and not the name", tried=_colon),
    "nan_settings": Case(expected="one sentence", tried=_nan),
    "neighbours_noise": Case(expected="nothing was found, no traceback", tried=_noise),
    "offset_range": Case(expected="bounded memory, or refused", tried=_offset),
    "one_bad_stack_ends_every_job": Case(expected="`check` and all jobs go on with the rest", tried=_bad_stack),
    "one_hot_pixel_ruins_all": Case(expected="named, and the classes are found", tried=_hot_pixel),
    "one_nan_defocus_ends_class2d": Case(expected="the particle gets no weight, the rest goes on", tried=_nan_defocus),
    "phase_flipped_cannot_be_said": Case(expected="`class2d --ctf_phase_flipped` is right", tried=_phase_flipped),
    "phase_plate": Case(expected="300 phase shifts can be used", tried=_phase_plate),
    "pixel_sizes_differ_by_a_quarter_percent": Case(expected="used with a note", tried=_pixel_sizes),
    "premultiplied_ctf_applied_again": Case(
        expected="right in `class2d`, refused before work elsewhere", tried=_premultiplied
    ),
    "relion_continue_command": Case(
        expected="`class2d --continue`, as RELION has it, goes on, to more iterations", tried=_continue
    ),
    "resume_changed_input": Case(expected="refused, the file is named", tried=_changed),
    "run_goes_on_with_dark_particles": Case(expected="stops, or turns them over and says so", tried=_dark),
    "sigbus_full_disk": Case(expected="an error with file and bytes", tried=_full_disk),
    "sigbus_truncated_input": Case(expected="an error that names the stack", tried=_truncated),
}


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options of ``python -m benchmarks cases``."""
    parser.add_argument("--cases", type=Path, default=DEFAULT, help="the folder of the cases")
    parser.add_argument("--case", choices=CASES, action="append", help="only these; default: all")
    parser.add_argument("--again", action="store_true", help="also those that have ended in an earlier run")


def measure(options: argparse.Namespace, work: Path) -> dict[str, Any]:
    """Every case in a copy of its folder."""
    source, work = REPOSITORY / options.cases, work.resolve()
    if not source.is_dir():
        raise NotAvailable(f"the cases are not at {options.cases}; give --cases")
    unknown = sorted({p.name for p in source.iterdir() if p.is_dir()} - CASES.keys())
    (work / "ended").mkdir(parents=True, exist_ok=True)
    for name in options.case or CASES:
        record, folder = work / "ended" / f"{name}.json", work / name
        if record.is_file() and not options.again:
            continue
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(source / name, folder, copy_function=shutil.copyfile)
        right, now = CASES[name].tried(folder)
        now = now.replace(f"{folder}/", "")[:300]
        row = {"case": name, "expected": CASES[name].expected, "right": right, "now": now, "commit": commit()}
        record.write_text(json.dumps(row))
        print(f"{name}: {'right' if right else 'WRONG'}: {now}", flush=True)
        shutil.rmtree(folder)
    ended = [path for name in CASES if (path := work / "ended" / f"{name}.json").is_file()]
    return {"cases": [json.loads(path.read_text()) for path in ended], "not_tried": unknown}


def table(figures: dict[str, Any]) -> str:
    """Markdown."""
    rows = [
        [r["case"].replace("_", " "), r["expected"], "right" if r["right"] else "WRONG", r["now"].replace("|", "\\|")]
        for r in figures["cases"]
    ]
    right = sum(r["right"] for r in figures["cases"])
    commits = ", ".join(sorted({r["commit"] for r in figures["cases"]}))
    text = (
        f"{right} of {len(rows)} are right, at {commits}.\n\n{markdown_table(['case', 'expected', '', 'now'], rows)}\n"
    )
    return text + (f"\nNot tried: {', '.join(figures['not_tried'])}.\n" if figures["not_tried"] else "")
