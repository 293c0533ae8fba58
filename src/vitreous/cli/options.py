"""Settings dataclasses as command-line options."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import Field, asdict, field, fields, make_dataclass
from typing import Annotated, Any, Literal, get_type_hints

from cyclopts import Group, Parameter, Token

from vitreous.jobs import options as running
from vitreous.jobs.task import words_of
from vitreous.words import american

__all__ = [
    "memory_bytes",
    "memory_text",
    "method_settings",
    "option",
    "options_from",
    "options_from_methods",
    "plain",
    "whole_number",
]


def options_from(
    settings: type,
    *,
    group: Group,
    aliases: Mapping[str, tuple[str, ...]],
    help: Mapping[str, str] | None = None,
    special: Mapping[str, Parameter] | None = None,
    leave_out: frozenset[str] = frozenset(),
) -> type:
    """A dataclass with the fields and defaults of ``settings`` that cyclopts shows as options; it checks no values.

    A field ``particle_diameter_A`` becomes ``--particle-diameter-A``, also known by its ``aliases``. Its help comes
    from the Parameters section of the docstring of ``settings``, or from ``help``; ``special`` adds to what cyclopts
    is told about a field; the fields of ``leave_out`` do not become options.
    """
    texts, hints = {**words_of(settings), **(help or {})}, get_type_hints(settings)
    members = [
        (
            f.name,
            Annotated[
                hints[f.name],
                option(f, hints[f.name], aliases, help=texts.get(f.name), group=group),
                *filter(None, [(special or {}).get(f.name)]),
            ],
            field(default=f.default, kw_only=True),
        )
        for f in fields(settings)
        if f.name not in leave_out
    ]
    # cyclopts spreads the fields of a class of this package over the command, but not those of one without a module.
    return make_dataclass(f"{settings.__name__}Options", members, frozen=True, namespace={"__module__": __name__})


def option(
    f: Field[Any], hint: Any, aliases: Mapping[str, tuple[str, ...]], *, help: str | None, group: Group
) -> Parameter:
    """What cyclopts is told about a field of a dataclass."""
    long, several = f"--{f.name.replace('_', '-')}", isinstance(f.default, tuple)
    spelt = tuple(dict.fromkeys((long, american(long))))
    return Parameter(
        name=(*spelt, *aliases.get(f.name, ())),
        group=group,
        help=_typed(help, spelt[0]),
        negative=[f"--no-{name[2:]}" for name in spelt] if f.default is True else "",
        consume_multiple=several or None,
        converter=CONVERTERS.get(hint),
        show_default=(lambda value: " ".join(map(str, value)) or "none") if several else None,
    )


def _typed(text: str | None, option: str) -> str | None:
    """The words on a field as they hold for its option: None cannot be typed, and True and False need not be."""
    if text is None:
        return None
    text = text.replace("True when", "When").replace("False: ", f"--no-{option[2:]}: ").replace("``", "`")
    return text.replace("None: ", "Not given: ")


def options_from_methods(
    methods: Mapping[str, type], *, group: Group, aliases: Mapping[str, tuple[str, ...]], leave_out: frozenset[str]
) -> type:
    """A dataclass with the fields of all ``methods`` (name -> settings) as options, None where nothing is given.

    The help shows what :func:`method_settings` takes then: one default, or that of every method which has the field.
    """
    hints = {name: hint for settings in methods.values() for name, hint in get_type_hints(settings).items()}
    # Where methods share an option, the words are those of the first one that has it.
    shown = reversed([words_of(settings) for settings in methods.values()])
    texts = {name: text for section in shown for name, text in section.items()}

    def option(name: str) -> Parameter:
        defaults = _defaults_of_methods(methods, name)
        long = f"--{name.replace('_', '-')}"
        return Parameter(
            name=(*dict.fromkeys((long, american(long))), *aliases.get(name, ())),
            group=group,
            help=_typed(texts.get(name), long),
            converter=CONVERTERS.get(hints[name]),
            show_default=lambda _: defaults,
        )

    members = [
        (name, Annotated[hint | None, option(name)], field(default=None, kw_only=True))
        for name, hint in hints.items()
        if name not in leave_out
    ]
    return make_dataclass("MethodOptions", members, frozen=True, namespace={"__module__": __name__})


def _defaults_of_methods(methods: Mapping[str, type], name: str) -> str:
    defaults = {m: f.default for m, settings in methods.items() for f in fields(settings) if f.name == name}
    if len(defaults) == len(methods) and len(set(defaults.values())) == 1:
        return _default_text(next(iter(defaults.values())))
    having: dict[Any, list[str]] = {}
    for method, default in defaults.items():
        having.setdefault(default, []).append(method)
    return "; ".join(f"{_default_text(default)} ({', '.join(names)})" for default, names in having.items())


def _default_text(value: Any) -> str:
    return "not given" if value is None else str(value)


def method_settings(methods: Mapping[str, type], method: str, options: Any) -> Any:
    """The settings of one of ``methods`` from what was given; ValueError for an option that it does not have."""
    given = {name: value for name, value in plain(options).items() if value is not None}
    names = {m: {f.name for f in fields(settings)} for m, settings in methods.items()}
    for name in given:
        if name not in names[method]:
            others = " or ".join(f"--method {m}" for m in names if name in names[m])
            raise ValueError(
                f"--{name.replace('_', '-')} is a setting of {others} and means nothing with --method {method}; "
                "leave it out or change the method"
            )
    return methods[method](**given)


def plain(options: Any) -> dict[str, Any]:
    """What was given, for the constructor of the settings."""
    return asdict(options)


def whole_number(_: type, tokens: Sequence[Token]) -> int:
    """The cyclopts converter of integers; its own rounds 2.7 to 3 without a word."""
    text = tokens[0].value
    if re.fullmatch(r"[+-]?\d+", text) is None:
        raise ValueError(f"{text!r} is not a whole number")
    return int(text)


def whole_number_or_auto(_: type, tokens: Sequence[Token]) -> int | str:
    """The same where the word auto may be given instead."""
    if tokens[0].value == "auto":
        return "auto"
    try:
        return whole_number(int, tokens)
    except ValueError as error:
        raise ValueError(f"{error}, nor the word auto") from None


def memory_bytes(_: type, tokens: Sequence[Token]) -> int:
    """The cyclopts converter of "8G", "500M", "2.5GB" or a number of bytes."""
    return running.memory_bytes(tokens[0].value)


def memory_text(count: int) -> str:
    """How an amount of memory is typed: "4G"."""
    unit = next(u for u in reversed(running.UNITS) if count % running.UNITS[u] == 0)
    return f"{count // running.UNITS[unit]}{unit}"


CONVERTERS: dict[Any, Any] = {
    int: whole_number,
    int | None: whole_number,
    int | Literal["auto"]: whole_number_or_auto,
}
