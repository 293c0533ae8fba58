"""The commands of all jobs, made from what the jobs say about themselves."""

from collections.abc import Callable
from dataclasses import fields
from inspect import Parameter as Argument
from inspect import Signature
from pathlib import Path
from typing import Annotated, Any, Literal, get_type_hints

from cyclopts import Group, Parameter

from vitreous.cli.common import said_by_the_first, saying_how_to_go_on, typed_command
from vitreous.cli.options import (
    memory_bytes,
    memory_text,
    method_settings,
    option,
    options_from,
    options_from_methods,
    plain,
)
from vitreous.jobs.manifest import read_manifest
from vitreous.jobs.options import RunOptions
from vitreous.jobs.run_task import run_task
from vitreous.jobs.task import Task, words_of
from vitreous.jobs.tasks.table import TASKS, task_of

__all__ = ["command_of", "help_of", "running_options", "settings_options"]

COMPUTED, RUN = Group("What is computed", sort_key=1), Group("How it is run", sort_key=2)
MEMORY = Parameter(converter=memory_bytes, show_default=memory_text, metavar="SIZE")
UNUSED_MEMORY = Parameter(converter=memory_bytes, show=False)
UNUSED = Parameter(show=False)  # accepted, for scripts that give it to every command, but without meaning
POSITIONAL, KEYWORD = Argument.POSITIONAL_OR_KEYWORD, Argument.KEYWORD_ONLY
ALIASES = {  # of every job: names that RELION or habit gives to an option
    "pixel_size_A": ("--angpix",),
    "particle_diameter_A": ("--particle_diameter",),
    "threads": ("--j",),
}
OF_RUNNING = frozenset({"device", "memory", "threads", "every"})  # each with a meaning for some jobs only
OUTPUT = Parameter(name=("--output", "-o", "--o"), help="Folder for the results; made when it is not there.")
ARGUMENTS = Group.create_default_parameters()
LIST_OF_FILES = Parameter(show_default=False)


def __getattr__(name: str) -> Callable[..., int]:
    """The command of a job, for the application: it imports a command when it is called."""
    if name not in TASKS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return command_of(task_of(name))


def command_of(task: Task[Any, Any, Any, Any]) -> Callable[..., int]:
    """A function for cyclopts, which reads its signature: the source's fields, ``--method`` and all options.

    It returns the exit status: 1 for a job that came to its end and could use nothing of its input.
    """
    signature = _signature(task)

    def command(*args: Any, **kwargs: Any) -> int:
        given = signature.bind(*args, **kwargs).arguments
        output, method = given.pop("output"), given.pop("method", next(iter(task.methods)))
        settings, running = given.pop("settings", None), given.pop("running", None)
        with said_by_the_first():
            chosen = method_settings(task.methods, method, settings) if settings else task.methods[method]()
            options = RunOptions(**plain(running)) if running else RunOptions()
        with saying_how_to_go_on(output):
            report = run_task(task, task.source(**given), output, chosen, options, command=typed_command())
        manifest = None if report is None else read_manifest(output)
        return int(manifest is not None and task.useless(manifest.summary))

    command.__name__ = task.name
    command.__doc__ = help_of(task)
    command.__signature__ = signature  # type: ignore[attr-defined]
    return command


def help_of(task: Task[Any, Any, Any, Any]) -> str:
    """What the help of a command says above its options."""
    entry = TASKS[task.name]
    example = f"For example: vitreous {task.name} {entry.example}" if entry.example else ""
    return "\n\n".join(filter(None, (entry.help, task.about, example)))


def settings_options(task: Task[Any, Any, Any, Any]) -> type:
    """The settings of all methods as options."""
    aliases, leave_out = {**ALIASES, **task.aliases}, task.in_python
    if len(task.methods) == 1 and "" in task.methods:
        return options_from(task.methods[""], group=COMPUTED, aliases=aliases, leave_out=leave_out)
    return options_from_methods(task.methods, group=COMPUTED, aliases=aliases, leave_out=leave_out)


def running_options(task: Task[Any, Any, Any, Any]) -> type:
    """The options of running that mean something for the job, and hidden ones that it only accepts."""
    hidden = {"memory": UNUSED_MEMORY} if "memory" in task.ignores else {}
    return options_from(
        RunOptions,
        group=RUN,
        aliases={**ALIASES, **task.aliases},
        special={"memory": MEMORY, **dict.fromkeys(task.ignores, UNUSED), **hidden},
        leave_out=OF_RUNNING - task.uses - task.ignores,
    )


def _signature(task: Task[Any, Any, Any, Any]) -> Signature:
    first, *others = _source_arguments(task)
    settings, running = settings_options(task), running_options(task)
    spread = Parameter(name="*")
    arguments = [
        first.replace(kind=POSITIONAL),
        Argument("output", KEYWORD, annotation=Annotated[Path, OUTPUT]),
        *([] if "" in task.methods else [_method_argument(task)]),
        Argument("settings", KEYWORD, default=settings(), annotation=Annotated[settings, spread]),
        Argument("running", KEYWORD, default=running(), annotation=Annotated[running, spread]),
        *others,
    ]
    return Signature(arguments, return_annotation=int)


def _method_argument(task: Task[Any, Any, Any, Any]) -> Argument:
    names = tuple(task.methods)
    words = Parameter(help=task.about_methods)
    return Argument("method", KEYWORD, default=names[0], annotation=Annotated[Literal[names], words])


def _source_arguments(task: Task[Any, Any, Any, Any]) -> list[Argument]:
    words, hints, members = words_of(task.source), get_type_hints(task.source), fields(task.source)
    aliases = {members[0].name: ("--i",), **ALIASES, **task.aliases}
    arguments = []
    for f in members:
        told = [option(f, hints[f.name], aliases, help=words.get(f.name), group=ARGUMENTS)]
        told += [LIST_OF_FILES] if f.default == () else []
        default = Argument.empty if f is members[0] else f.default
        arguments.append(Argument(f.name, KEYWORD, default=default, annotation=Annotated[hints[f.name], *told]))
    return arguments
