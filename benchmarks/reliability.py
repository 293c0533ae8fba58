"""``docs/reliability.md`` from the records: what was tried to break the program, and what came of it."""

from collections.abc import Mapping
from types import ModuleType

from benchmarks.performance import section
from benchmarks.record import Record

__all__ = ["RELIABILITY", "reliability_page"]

RELIABILITY = ("cases", "fuzz", "kills", "noise-sets", "filters", "million")  # none of them is quick

HEAD = """# Reliability

What was tried to break the program, and what came of it. The figures are measured by `python -m benchmarks NAME` and
written here by `python -m benchmarks tables`; `make fuzz` is the first of them. The cases below are tests.

## Situations

Each was a defect once, found in public reports of this and other programs, or by trying. "Right" is what happens now.
"""
SITUATIONS = (  # what was a defect once, what happens now, the test
    (
        "aberration columns that are not used",
        "`check` and every job name them",
        "`tests/particles/test_usable.py`",
    ),
    (
        "one particle with a defocus, phase shift or voltage that is none",
        "it is refused by row and reason, the rest goes on",
        "`tests/particles/test_usable.py`",
    ),
    (
        "one stack missing, cut short, of another box; a number beyond its stack",
        "its particles are refused, the rest goes on",
        "`tests/particles/test_usable.py`",
    ),
    (
        "one pixel of 6e4 background standard deviations",
        "it counts as background; the classes are those without it",
        "`tests/particles/test_usable.py`",
    ),
    (
        "a `.cs` file aligned in 2D and in 3D",
        "class, angle and shift from one of them, and which is said",
        "`tests/particles/test_cryosparc.py`",
    ),
    (
        "pixel sizes that differ by a quarter per cent",
        "used, with a note",
        "`tests/particles/test_usable.py`",
    ),
    (
        "images multiplied by their CTF, or phase-flipped",
        "right in `class2d`; what cannot use them refuses before work",
        "`tests/averages/test_ctf_applied.py`",
    ),
    (
        "dark particles in `run`",
        "turned over, and that is said at once and in the report",
        "`tests/cli/test_run_command.py`",
    ),
    (
        "coloured noise in `neighbours`",
        '"nothing was found"',
        "`tests/averages/test_jury.py`",
    ),
    (
        "a phase shift for every micrograph",
        "few groups, with the largest phase error",
        "`tests/cli/test_limits_and_words.py`",
    ),
    (
        "memory of 1 MB, one thread or two",
        "the same bits",
        "`tests/cli/test_same_result.py`",
    ),
    (
        "settings that are NaN, infinite, of another kind, beyond the box",
        "one sentence, in the words of the command line",
        "`tests/test_settings.py`, `tests/cli/test_plain_words.py`",
    ),
    (
        "a table that has changed before `--resume`",
        "refused; the file is named",
        "`tests/cli/test_stopped_and_changed.py`",
    ),
    (
        "RELION's way to continue, with more iterations",
        "goes on without `--i`",
        "`tests/cli/test_stopped_and_changed.py`",
    ),
    (
        "a full disk; a stack that is cut short while it is read",
        "an error with file and bytes",
        "`tests/particles/test_short_files.py`",
    ),
    (
        "damaged files of a job; archives and headers that promise too much",
        "one sentence that names the file, or the state before",
        "`tests/jobs/test_damaged_files.py`",
    ),
    (
        "particles that a median filter has been over",
        "noticed by pixels that are equal; nothing is compared or claimed beyond what is left",
        "`tests/particles/test_finest_detail.py`",
    ),
    (
        "stacks of half precision for RELION 3.1",
        "named, and `copy` writes float32",
        "`tests/particles/test_copying.py`",
    ),
    (
        "a name that is empty, a folder that cannot be made",
        "one sentence, before anything is read or written",
        "`tests/cli/test_limits_and_words.py`",
    ),
    (
        "a density as a mask, a mask of a few voxels",
        "refused, or doubted",
        "`tests/cli/test_plain_words.py`",
    ),
)
KEPT = """
Files of iterations are those of the newest iteration and of every tenth, so that a million particles leave some
gigabytes.
"""


def reliability_page(records: Mapping[str, Record], modules: Mapping[str, ModuleType]) -> str:
    """The page: situations, then one section per measurement."""
    rows = [f"| {situation} | {right} | {test} |" for situation, right, test in SITUATIONS]
    cases = "\n".join(["| situation | what is right | test |", "|---|---|---|", *rows])
    measured = [section(name, module, records.get(name)) for name, module in modules.items()]
    return "\n".join([HEAD, cases, KEPT, *measured])
