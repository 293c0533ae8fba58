"""The application: which commands there are, and how a run of one ends.

Exit codes: 0 fine, 1 the input or the settings are at fault (one sentence on standard error, the traceback with
``--debug``), 2 the command line is wrong, 130 interrupted. Commands are imported when they are called, so that help
and completion do not wait for PyTorch.
"""

import json
import os
import re
import signal
import sys
import threading
from collections.abc import Sequence
from dataclasses import fields
from itertools import pairwise

import cyclopts

from vitreous.cli import relion
from vitreous.cli.handed_over import hand_over
from vitreous.jobs.tasks.table import IMAGES, MAPS, MICROGRAPHS, TASKS, WHOLE, task_of
from vitreous.version import __version__
from vitreous.words import SaidElsewhereError, american, british, first_process, printable

__all__ = ["app", "main"]

USER_ERRORS = (ValueError, OSError, MemoryError)
EPILOGUE = """\
Every job is a folder with its settings, log, results and report. --debug shows where an error comes from.
Exit codes: 0 fine, 1 wrong input or settings, 2 wrong command line, 130 interrupted."""

HELP = frozenset({"--help", "-h"})
OUTPUT = ("-o", "--o", "--output")
OUTPUT_ATTACHED = tuple(f"{name}=" for name in OUTPUT)

HELP_OF_ALL = "`vitreous --help` and `vitreous COMMAND --help` list what there is."
_SETTING = re.compile(r"^([a-z][a-zA-Z0-9_]*)(: (?:expected|\S+ A (?:leads|does|is)) )")  # a setting's name, in Python

app = cyclopts.App(
    name="vitreous",
    help="Single-particle cryo-EM: from noisy particle images to a refined map.\n\nvitreous COMMAND --help explains a "
    "command. vitreous run particles.star -o out goes the whole way; vitreous demo shows it without data.",
    help_epilogue=EPILOGUE,
    help_format="plaintext",
    version=f"vitreous {__version__}",
    version_flags=["--version"],
    result_action="return_value",
    suppress_keyboard_interrupt=False,
)
BEGIN, FILES = "To begin with", "Files and reports"
OTHERS = {  # commands that are no jobs -> their group in the help, and what they do
    "check": (BEGIN, "What is in a particle file, what is missing, what will be assumed, which particles are bad."),
    "demo": (BEGIN, "Simulate particles, go all the way to a refined map, and compare with the truth."),
    "simulate": (BEGIN, "Make particles with known truth."),
    "select": (IMAGES, "Keep the particles of good classes."),
    "copy": (FILES, "Copy particles with their images: one stack of float32 and a table in RELION 3.1's form."),
    "report": (FILES, "Write the report of a finished job again."),
}
COMMANDS = {**{name: (entry.group, entry.help) for name, entry in TASKS.items()}, **OTHERS}
GROUPS = {
    name: cyclopts.Group(name, sort_key=i) for i, name in enumerate((BEGIN, WHOLE, MICROGRAPHS, IMAGES, MAPS, FILES))
}
for _name, (_group, _help) in COMMANDS.items():
    _module = "commands" if _name in TASKS else _name
    app.command(f"vitreous.cli.{_module}:{_name}", name=_name, help=_help, group=GROUPS[_group])
    if american(_name) != _name:
        app.command(f"vitreous.cli.{_module}:{_name}", name=american(_name), help=_help, show=False)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line (``sys.argv`` by default) and return the exit code."""
    # Read when PyTorch and NumPy are loaded. Threads that spin while they wait cost three times the work on a shared
    # machine; jobs share their work out among threads themselves, and products inside one of these need no others.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    _end_like_an_interrupt()
    words = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in words
    words = [word for word in words if word != "--debug"]
    try:
        _refuse_no_folder(words)
        words, notes = hand_over(words)
        for note in notes:
            _complain(f"note: {note}")
        if words[:1] == ["class2d"]:
            translated = relion.translate(words[1:])
            words = ["class2d", *translated.words]
            for note in translated.notes:
                _complain(f"note: {note}")
        _say_all(words)
        code = app(words, exit_on_error=False, print_error=False)
        return int(code or 0)
    except (cyclopts.CycloptsError, relion.OptionError) as error:
        if not first_process():
            return 2
        _complain(f"vitreous: {_one_line(error).replace('requires an argument', 'is missing or has no value')}")
        known = words[:1] and british(words[0]) in COMMANDS
        _complain(f"`vitreous {words[0]} --help` lists what there is." if known else HELP_OF_ALL)
        return 2
    except KeyboardInterrupt:
        if first_process():
            _complain("vitreous: interrupted")
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains once more on its way out
        return 0
    except SaidElsewhereError:
        return 1
    except USER_ERRORS as error:
        if debug:
            raise
        text = _one_line(error, words[0] if words else "")
        _complain(f"vitreous: {text}")
        if "--json" in words:
            print(json.dumps({"event": "error", "message": text}), flush=True)
        return 1


def _say_all(words: Sequence[str]) -> None:
    """Let the help of a job say more than its line in the list of all, for which jobs need not be imported."""
    name = british(words[0]) if words else ""
    if name in TASKS and HELP.intersection(words):
        from vitreous.cli.commands import help_of

        app[words[0]].help = help_of(task_of(name))


def _refuse_no_folder(words: Sequence[str]) -> None:
    """An empty name, which a variable that is not set leaves behind, would mean the current folder."""
    if len(words) > 1 and not words[1].strip():
        raise relion.OptionError(f"{words[0]}: the name of its input is empty; expected a file or folder")
    attached = [tuple(word.split("=", 1)) for word in words if word.startswith(OUTPUT_ATTACHED)]
    for option, value in (*pairwise(words), *attached):
        if option in OUTPUT and not value.strip():
            raise relion.OptionError(f"{option}: the name of the folder is empty; expected the folder for the results")


def _end_like_an_interrupt() -> None:
    """SIGTERM, which batch systems send before they kill, ends a job as Ctrl-C does: marked, and with what goes on."""
    if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) == signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _interrupt)


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt("terminated by the system")


def _one_line(error: BaseException, command: str = "") -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    text = text.replace("give pixel_size_A", "give --pixel-size-A")
    return _SETTING.sub(lambda found: f"{_option(found[1], command)}{found[2]}", text)


def _option(name: str, command: str) -> str:
    """A setting as the command line has it; what is none, such as the name of a file, as it is."""
    if command in TASKS:
        from vitreous.jobs.options import RunOptions  # loaded by now: a job has said what is wrong

        task = task_of(command)
        known = {f.name for kind in (task.source, RunOptions, *task.methods.values()) for f in fields(kind)}
        if name not in known:
            return name
    return f"--{name.replace('_', '-')}"


def _complain(text: str) -> None:
    """On standard error; of several processes each says which it is."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        text = text.replace("vitreous: ", f"vitreous, process {os.environ.get('RANK', '?')}: ", 1)
    print(printable(text), file=sys.stderr, flush=True)
