"""Settings become options without loss, and RELION's words are understood."""

import inspect
from dataclasses import dataclass, fields
from typing import get_type_hints

import pytest
from cyclopts import Group

from vitreous.averages.class2d import Class2D
from vitreous.cli import relion, simulate
from vitreous.cli.commands import command_of, running_options, settings_options
from vitreous.cli.options import memory_bytes, memory_text, options_from, plain
from vitreous.cli.select import class_numbers
from vitreous.jobs.options import UNITS, RunOptions
from vitreous.jobs.task import words_of
from vitreous.jobs.tasks.class2d import TASK as CLASS2D
from vitreous.jobs.tasks.table import TASKS, task_of
from vitreous.simulate import SimulateSettings


@dataclass(frozen=True)
class Word:
    value: str


@pytest.mark.parametrize(
    ("options", "settings"),
    [
        (settings_options(CLASS2D), Class2D),
        (running_options(CLASS2D), RunOptions),
        (simulate.Settings, SimulateSettings),
    ],
)
def test_options_without_words_are_the_default_settings(options, settings):
    assert settings(**plain(options())) == settings()


@pytest.mark.parametrize(
    ("settings", "texts"),
    [
        (Class2D, words_of(Class2D)),
        (RunOptions, words_of(RunOptions)),
        (SimulateSettings, simulate.HELP),
    ],
)
def test_every_setting_is_explained(settings, texts):
    assert set(texts) == {f.name for f in fields(settings)}
    assert all(
        text[0].isupper() or text[0].isdigit() or text.startswith(("uniform", "white", "0")) for text in texts.values()
    )


def test_a_docstring_without_parameters_explains_nothing():
    assert words_of(Word) == {}


def test_option_names_keep_the_unit():
    made = options_from(Class2D, group=Group("g"), aliases={"classes": ("--K",)})
    names = {f.name: f.type.__metadata__[0].name for f in fields(made)}
    assert names["particle_diameter_A"] == ("--particle-diameter-A",)
    assert names["classes"] == ("--classes", "--K")


@pytest.mark.parametrize(
    ("text", "count"), [("8G", 8 << 30), ("500M", 500 << 20), ("2.5gb", 5 << 29), ("1GiB", 1 << 30), ("4096", 4096)]
)
def test_amounts_of_memory(text, count):
    assert memory_bytes(int, [Word(text)]) == count
    assert memory_bytes(int, [Word(memory_text(count))]) == count
    assert set(memory_text(count)) - set("0123456789") <= set(UNITS)


@pytest.mark.parametrize("text", ["", "much", "-3G", "8X", "G"])
def test_no_amount_of_memory(text):
    with pytest.raises(ValueError, match="8G or 500M"):
        memory_bytes(int, [Word(text)])


@pytest.mark.parametrize(("text", "numbers"), [("1,4,9", [1, 4, 9]), ("2-4, 7", [2, 3, 4, 7]), ("5", [5])])
def test_class_numbers(text, numbers):
    assert class_numbers(text) == numbers


@pytest.mark.parametrize("text", ["", "a", "1,", "1-", "-2", "1.5"])
def test_no_class_numbers(text):
    with pytest.raises(ValueError, match="such as 1,4,9"):
        class_numbers(text)


def test_a_line_from_relions_note_file_is_understood():
    line = (
        "--o Class2D/job012/run --iter 25 --i particles.star --dont_combine_weights_via_disc --pool 3 --pad 2 --ctf "
        "--tau2_fudge 2 --particle_diameter 200 --K 50 --flatten_solvent --zero_mask --center_classes --oversampling 1 "
        "--psi_step 12 --offset_range 5 --offset_step 2 --norm --scale --j 4 --gpu 0,1:2 "
        "--pipeline_control Class2D/job012/"
    )
    found = relion.translate(line.split())
    expected = (
        "--output Class2D/job012 --iter 25 --i particles.star --ctf --tau2_fudge 2 --particle_diameter 200 --K 50 "
        "--offset_range 5 --j 4 --device cuda"
    )
    assert found.words == expected.split()
    assert len(found.notes) == 13
    assert any("Class2D/job012" in note for note in found.notes)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--gpu"], ["--device", "cuda"]),
        (["--gpu", "--ctf"], ["--device", "cuda", "--ctf"]),
        (["--gpu", ""], ["--device", "cuda"]),
        (["p.star", "--o", "out"], ["p.star", "--output", "out"]),
        (["--continue", "a/run_it007_optimiser.star"], ["--resume", "--output", "a"]),
        (["--continue", "a/run_it007_optimiser.star", "--o", "b"], ["--resume", "--output", "b"]),
        (["--continue"], ["--resume"]),
        (["--", "--norm"], ["--", "--norm"]),
    ],
)
def test_words_of_relion(words, expected):
    assert relion.translate(words).words == expected


@pytest.mark.parametrize("option", sorted(relion.REFUSED))
def test_what_cannot_be_done_is_refused(option):
    with pytest.raises(relion.OptionError, match=option):
        relion.translate(["p.star", option])


def test_no_alias_is_also_ignored():
    names = {name for several in CLASS2D.aliases.values() for name in several}
    assert not names & (set(relion.IGNORED) | set(relion.REFUSED))
    assert set(CLASS2D.aliases) <= {f.name for s in (Class2D, RunOptions, CLASS2D.source) for f in fields(s)}


@pytest.mark.parametrize("name", TASKS)
def test_every_option_says_what_it_is(name):
    task = task_of(name)
    found = [
        get_type_hints(options, include_extras=True) for options in (settings_options(task), running_options(task))
    ]
    arguments = inspect.signature(command_of(task)).parameters.values()
    found.append({a.name: a.annotation for a in arguments if a.name not in ("settings", "running")})
    for hints in found:
        for option, hint in hints.items():
            assert any(parameter.help for parameter in hint.__metadata__), f"{name}: {option} has no help"


def test_words_of_a_shared_option_are_those_of_the_first_method():
    options = settings_options(task_of("initial"))
    (parameter,) = get_type_hints(options, include_extras=True)["restarts"].__metadata__
    assert "attempts" in parameter.help  # of gmm, the default
