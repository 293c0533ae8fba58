"""Tables of commands and options for those who know another program: made from the code, and from what others say."""

from collections.abc import Iterator
from dataclasses import fields

from benchmarks.tables import markdown_table

from other_programs import COMMANDS, EVERYWHERE, SETTINGS
from vitreous.cli.relion import ALIASES, IGNORED, REFUSED
from vitreous.jobs.task import Task, words_of
from vitreous.jobs.tasks.table import TASKS, task_of

__all__ = ["commands_table", "common_table", "dropped_table", "gpu_list", "options_tables", "refused_table"]

COMMON = {  # what nearly every command has -> default in words, and what it says
    "project": ("", "Folder that the names in the file are relative to."),
    "pixel_size_A": ("of the file", "Pixel size in ångström, where the file does not say or is wrong."),
    "ctf": ("on", "Whether the CTF columns are used."),
    "seed": ("0", "Of everything random."),
    "threads": ("all", "Processor threads."),
    "device": ("auto", "`cpu` or `cuda`."),
}
HEAD = ("here", "there", "default here", "what it says")
THEIRS = "_"  # RELION's own spelling; ours has hyphens


def commands_table(program: str) -> str:
    """All commands with what does the same in another program."""
    there = {name: COMMANDS.get(name, {}).get(program, "") for name in TASKS}
    rows = [(f"`vitreous {name}`", there[name], entry.help) for name, entry in TASKS.items()]
    return markdown_table(["here", "there", "what it does"], rows)


def options_tables(program: str) -> str:
    """For every command that has counterparts: its options, what they are called there, their defaults here."""
    parts = []
    for name in TASKS:
        rows = list(_rows(task_of(name), program))
        if rows:
            there = COMMANDS.get(name, {}).get(program)
            heading = f"{name}: {there}" if there else name
            parts.append(f"### {heading}\n\n" + markdown_table(HEAD, rows))
    return "\n\n".join(parts)


def common_table(program: str) -> str:
    """Options that nearly every command has, with their other names."""
    rows = [
        (_option(name), _spelled(EVERYWHERE[name][program], frozenset()), default, words)
        for name, (default, words) in COMMON.items()
        if program in EVERYWHERE.get(name, {})
    ]
    return markdown_table(HEAD, rows)


def gpu_list() -> str:
    """The commands that can use a CUDA device."""
    return ", ".join(f"`{name}`" for name in TASKS if "device" in task_of(name).uses) + "."


def dropped_table() -> str:
    """Options of RELION that `class2d` drops with a note."""
    return markdown_table(["option", "why"], [(f"`{name}`", why) for name, (_, why) in IGNORED.items()])


def refused_table() -> str:
    """Options of RELION that `class2d` refuses."""
    return markdown_table(["option", "why"], [(f"`{name}`", why) for name, why in REFUSED.items()])


def _rows(task: Task, program: str) -> Iterator[tuple[str, str, str, str]]:
    """(our option, theirs, default, words) of the settings that have a counterpart."""
    defaults = {f.name: _shown(f.default, none="") for f in fields(task.source)[1:]}
    words = words_of(task.source)
    for kind in task.methods.values():
        for f in fields(kind):
            if f.name not in task.in_python:
                defaults.setdefault(f.name, _shown(f.default, none="from the data"))
        words = words_of(kind) | words
    for name, default in defaults.items():
        theirs = _theirs(task, name, program)
        if theirs and name not in COMMON:
            yield _option(name), theirs, default, _first(words.get(name, ""))


def _theirs(task: Task, name: str, program: str) -> str:
    """What another program calls a setting; marked where its own spelling works here too."""
    said = SETTINGS.get(task.name, {}).get(name, {}).get(program) or EVERYWHERE.get(name, {}).get(program, "")
    aliases = frozenset({*task.aliases.get(name, ()), *(ALIASES.get(name, ()) if task.name == "class2d" else ())})
    if program == "relion" and not said:
        said = next((alias for alias in sorted(aliases) if THEIRS in alias), "")
    return _spelled(said, aliases)


def _spelled(said: str, aliases: frozenset[str]) -> str:
    """Another program's word, as code where it is an option; what follows a comma is a remark or a further option."""
    option, *more = said.split(", ")
    if not option.startswith("--"):
        return said
    shown = ", ".join([f"`{option}`", *(f"`{word}`" if word.startswith("--") else word for word in more)])
    return f"{shown} (works here)" if option in aliases and not more else shown


def _option(name: str) -> str:
    return f"`--{name.replace('_', '-')}`"


def _shown(value: object, *, none: str) -> str:
    """A default in words; ``none`` is what None means."""
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, int | float | str):
        return f"{value:g}" if isinstance(value, float) else str(value)
    return none


def _first(text: str) -> str:
    """The first sentence, for a cell."""
    sentence, dot, _ = text.partition(". ")
    return (sentence + "." if dot else sentence).replace("|", "\\|").replace("``", "`")
