"""The documents are true: links, examples, commands, options, settings and columns that they name exist."""

import ast
import doctest
import importlib
import inspect
import re
from dataclasses import fields
from fnmatch import fnmatch
from pathlib import Path
from types import ModuleType

import pytest

import vitreous
from vitreous.averages.align import Align
from vitreous.averages.class2d import Class2D
from vitreous.averages.deconvolve import Deconvolve
from vitreous.averages.denoise import Denoise
from vitreous.averages.isac import ISAC
from vitreous.averages.model_bias import ModelBias
from vitreous.averages.mra import MRA
from vitreous.averages.msa import MSA
from vitreous.averages.neighbours import Neighbours
from vitreous.averages.stability import StabilityTest
from vitreous.cli.app import COMMANDS
from vitreous.jobs.tasks.pipeline import Pipeline
from vitreous.jobs.tasks.postprocess import PostProcess
from vitreous.jobs.tasks.project import Project
from vitreous.jobs.tasks.table import TASKS, task_of
from vitreous.micrographs import EstimateCTF, Extract, Pick
from vitreous.mixtures import GaussianInitialModel, InitialModel, KnownPoses, MixtureFit, MixtureSampling
from vitreous.structures.abinitio import Abinitio
from vitreous.structures.class3d import Class3D
from vitreous.structures.from_averages import METHODS, AllMethods
from vitreous.structures.refine import Refine
from vitreous.volumes.reconstruction import ART, Gridding, LeastSquares, WeightedBackProjection

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
PAGE_IDS = [str(page.relative_to(ROOT)) for page in PAGES]
each_page = pytest.mark.parametrize("page", PAGES, ids=PAGE_IDS)
LINK = re.compile(r"(?<!!)\[[^\]]+\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
OPTION = re.compile(r"(?<![\w-])(--?[A-Za-z][\w-]*)")


def code_lines(page: Path) -> list[str]:
    """Lines of code blocks (fenced or indented) and pieces of inline code."""
    text = page.read_text()
    fenced = [line for _, block in FENCE.findall(text) for line in block.splitlines()]
    rest = FENCE.sub("", text)
    indented = [line.strip() for line in rest.splitlines() if line.startswith("    ")]
    return [*fenced, *indented, *re.findall(r"`([^`\n]+)`", rest)]


def anchors(page: Path) -> set[str]:
    """What headings are called in links."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@each_page
def test_links_between_documents_resolve(page: Path) -> None:
    for target in LINK.findall(page.read_text()):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        linked = (page.parent / path).resolve() if path else page
        assert linked.is_file(), f"{page.name} links to {target}"
        assert not anchor or anchor in anchors(linked), f"{page.name} links to {target}"


@each_page
def test_python_blocks_are_python_and_import_what_exists(page: Path) -> None:
    for language, block in FENCE.findall(page.read_text()):
        if language != "python":
            continue
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "vitreous":
                module = importlib.import_module(node.module)
                assert [a.name for a in node.names if not hasattr(module, a.name)] == []


@pytest.mark.parametrize("page", [p for p in PAGES if ">>>" in p.read_text()], ids=lambda p: p.name)
def test_examples_run(page: Path) -> None:
    result = doctest.testfile(str(page), module_relative=False, encoding="utf-8")
    assert result.attempted > 0
    assert result.failed == 0


# What a result keeps in a temporary folder goes with it.
@pytest.mark.filterwarnings("ignore:Implicitly cleaning up:ResourceWarning")
@pytest.mark.parametrize("page", ["README.md", "docs/index.md"])
def test_first_steps_in_python_run(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = [block for language, block in FENCE.findall((ROOT / page).read_text()) if language == "python"]
    assert len(blocks) == 1
    exec(blocks[0].replace("n=1000", "n=120").replace("classes=12,", "classes=3, threads=1, quiet=True,"), {})
    assert len(list(tmp_path.glob("*/report.html"))) == 1


def options_of(command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The options that the help of a command shows."""
    from vitreous.cli import main

    monkeypatch.setenv("COLUMNS", "200")
    assert main([command, "--help"]) == 0
    return set(OPTION.findall(capsys.readouterr().out)) | {"--help", "--debug"}


def commands(page: Path) -> list[tuple[str, list[str]]]:
    """(name, options) of every use of the command line in a document."""
    used = (re.match(r"(?:\$ )?vitreous ([a-z][\w-]*)(.*?)(?:\s#.*)?$", line) for line in code_lines(page))
    return [(match[1], OPTION.findall(match[2])) for match in used if match]


def test_commands_and_options_exist(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    known = {command: options_of(command, capsys, monkeypatch) for command in COMMANDS}
    for page in PAGES:
        for command, options in commands(page):
            assert command in known, f"{page.name}: vitreous {command}"
            assert set(options) <= known[command], f"{page.name}: vitreous {command}"


GIVEN = {"particles.star", '"mics/*.mrc"'}  # what the lines of README and tutorial begin with


@pytest.mark.parametrize("page", ["README.md", "docs/tutorial.md"])
def test_commands_of_a_page_chain(page: str) -> None:
    """What a line takes is given, or an earlier line makes it; no line writes where another one has written."""
    made: dict[str, tuple[str, ...]] = {"simulated": ("particles.star",)} if page == "README.md" else {}
    blocks = [block for language, block in FENCE.findall((ROOT / page).read_text()) if not language]
    lines = [line.partition("#")[0].split() for block in blocks for line in block.splitlines()]
    used = [words[1:] for words in lines if words[:1] == ["vitreous"] and words[1] != "demo"]
    assert len(used) > 5
    for command, *words in used:
        source = None if command == "simulate" else words[0]
        folder, _, name = (source or "").partition("/")
        patterns = made.get(folder, ()) if name else ("*",)
        known = source in GIVEN or (folder in made and any(fnmatch(name, pattern) for pattern in patterns))
        assert known or source is None, f"{page}: {command} takes {source}, which no earlier line makes"
        if "-o" in words:
            target = words[words.index("-o") + 1]
            assert target not in made, f"{page}: {command} writes into {target}, which has something already"
            made[target] = ("particles.star",) if command == "simulate" else task_of(command).files
    saved = re.findall(r'\.save\("(\w+)"\)', (ROOT / page).read_text())
    assert [folder for folder in saved if folder in made] == [], f"{page}: Python saves where a command has written"


def test_options_named_without_their_command_exist(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    known = set().union(*(options_of(command, capsys, monkeypatch) for command in COMMANDS))
    for page in PAGES:
        named = {option for line in code_lines(page) if line.startswith("--") for option in OPTION.findall(line)}
        assert named <= known, f"{page.name} names options that no command has"


def test_make_targets_exist() -> None:
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for page in PAGES:
        named = {match[1] for line in code_lines(page) if (match := re.match(r"make ([\w-]+)(?:\s|$)", line))}
        assert named <= targets, f"{page.name} names make targets that do not exist"


@pytest.mark.parametrize(
    ("page", "settings"),
    [
        ("abinitio.md", Abinitio),
        ("align.md", Align),
        ("class2d.md", Class2D),
        ("ctf.md", EstimateCTF),
        ("deconvolve.md", Deconvolve),
        ("denoise.md", Denoise),
        ("neighbours.md", Neighbours),
        ("initial.md#Settings of gmm", InitialModel),
        ("initial.md#Settings of gmm-gaussian", GaussianInitialModel),
        *((f"initial.md#Settings of {name}", kind) for name, (kind, _) in METHODS.items()),
        ("initial.md#Settings of all", AllMethods),
        ("mixture.md#Settings of em", MixtureFit),
        ("mixture.md#Settings of gibbs", MixtureSampling),
        ("reconstruct.md#Settings of gridding", Gridding),
        ("reconstruct.md#Settings of wbp", WeightedBackProjection),
        ("reconstruct.md#Settings of cg", LeastSquares),
        ("reconstruct.md#Settings of art", ART),
        ("reconstruct.md#Settings of gmm", KnownPoses),
        ("run.md", Pipeline),
        ("extract.md", Extract),
        ("pick.md", Pick),
        ("project.md", Project),
        ("postprocess.md", PostProcess),
        ("isac.md", ISAC),
        ("model-bias.md", ModelBias),
        ("mra.md", MRA),
        ("msa.md", MSA),
        ("refine.md", Refine),
        ("class3d.md", Class3D),
        ("stability.md", StabilityTest),
    ],
)
def test_guide_explains_every_setting(page: str, settings: type) -> None:
    file, _, heading = page.partition("#")
    guide = (ROOT / "docs" / file).read_text()
    if heading:
        guide = guide.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    table = dict(re.findall(r"^\| `(\w+)` \| ([^|]+) \|", guide, re.MULTILINE))
    assert list(table) == [f.name for f in fields(settings)]
    for f in fields(settings):
        if f.default is not None:
            assert table[f.name].strip() == shown(f.default), f.name


def shown(value: bool | float | str) -> str:
    """A default as the guides have it."""
    if isinstance(value, str):
        return value
    return ("off", "on")[value] if isinstance(value, bool) else f"{value:g}"


def test_columns_of_our_own_are_explained() -> None:
    sources = "\n".join(path.read_text() for path in Path(vitreous.__path__[0]).rglob("*.py"))
    written = set(re.findall(r"[\"'](vtr[A-Z]\w+)[\"']", sources))
    explained = set(re.findall(r"`(vtr[A-Z]\w+)`", (ROOT / "docs" / "files.md").read_text()))
    assert written - explained == set()


def test_page_of_measurements_is_what_the_records_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT))
    from benchmarks.__main__ import MEASUREMENTS, RECORDS, RELIABILITY, page_of, reliability_of

    page = (ROOT / "docs" / "performance.md").read_text()
    assert re.findall(r"^## ([\w-]+)$", page, re.MULTILINE) == list(MEASUREMENTS)
    assert page == page_of(RECORDS), "docs/performance.md is not what `python -m benchmarks tables` writes"
    page = (ROOT / "docs" / "reliability.md").read_text()
    assert re.findall(r"^## ([\w-]+)$", page, re.MULTILINE) == ["Situations", *RELIABILITY]
    assert page == reliability_of(RECORDS), "docs/reliability.md is not what `python -m benchmarks tables` writes"
    for name in re.findall(r"`(tests/[\w/]+\.py)`", page):
        assert (ROOT / name).is_file(), name


def tools(name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A module of those that make the site."""
    monkeypatch.syspath_prepend(str(ROOT))
    monkeypatch.syspath_prepend(str(ROOT / "docs" / "tools"))
    return importlib.import_module(name)


def test_reference_has_every_public_name(monkeypatch: pytest.MonkeyPatch) -> None:
    api_pages = tools("api_pages", monkeypatch)
    text = "\n".join(api_pages.api_pages().values())
    names = [name for name in vitreous.__all__ if not name.startswith("__")]
    assert [name for name in names if not re.search(rf"\bvt\.{name}$", text, re.MULTILINE)] == []
    pages = api_pages.room_pages()
    assert {"rooms/vitreous.conventions.md", "rooms/vitreous.particles.md"} <= set(pages)
    for module in api_pages.rooms():
        page = pages[f"rooms/{module.__name__}.md"]
        values = {name: getattr(module, name) for name in module.__all__}
        shown = [name for name, value in values.items() if inspect.isclass(value) or inspect.isfunction(value)]
        assert [name for name in shown if f"      heading: {name}\n" not in page] == []
        assert module.__doc__


def test_names_of_other_programs_belong_to_commands_and_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Facts about commands that do not exist yet are allowed; about settings that a command has not are errors."""
    facts = tools("other_programs", monkeypatch)
    for command in set(facts.SETTINGS) & set(TASKS):
        task = task_of(command)
        known = {f.name for kind in (task.source, *task.methods.values()) for f in fields(kind)}
        assert set(facts.SETTINGS[command]) <= known, command


def test_options_of_relion_that_work_here_are_marked(monkeypatch: pytest.MonkeyPatch) -> None:
    tables = tools("flag_tables", monkeypatch)
    text = tables.options_tables("relion")
    assert "| `--classes` | `--K` (works here) | 50 |" in text
    assert "| `--offset-range-A` | `--offset_range`, in pixels |" in text
    assert "### refine: 3D auto-refine" in text


def test_notebooks_say_where_they_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    notebooks = tools("notebooks", monkeypatch)
    source = tmp_path / "one.py"
    source.write_text("# %% [markdown]\n# # Title\n\n# %%\nx = 2\nprint(x)\nx + 1\n\n# %%\n1 / 0\n")
    text, good, bad = notebooks.read_cells(source)
    notebooks.run_cells([text, good], "one.py")
    assert (text.source, good.printed, good.shown) == ("# Title", "2\n", [3])
    assert notebooks.as_markdown([text, good], {}).endswith("```text\n2\n```\n\n```text\n3\n```\n")
    with pytest.raises(notebooks.NotebookError, match=r"one.py, cell at line 10: ZeroDivisionError"):
        notebooks.run_cells([bad], "one.py")
