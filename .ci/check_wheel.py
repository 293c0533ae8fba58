"""Build the wheel, unpack it beside nothing else of this repository, and use it from there.

Needs ``hatchling`` and the dependencies of the package in the Python that runs it; reaches for no network.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NEEDED = (
    "py.typed",
    "__init__.pyi",
    "jobs/__init__.pyi",
    "jobs/report/page/base.html.j2",
    "jobs/report/page/style.css",
)
PROGRAM = """
import vitreous
print(vitreous.__file__)
print(vitreous.__version__)
missing = [name for name in vitreous.__all__ if not hasattr(vitreous, name)]
assert not missing, missing
"""


def main() -> None:
    """Exit with a message for the first thing that is wrong with the wheel."""
    with tempfile.TemporaryDirectory() as folder:
        built, unpacked, elsewhere = (Path(folder) / name for name in ("built", "unpacked", "elsewhere"))
        elsewhere.mkdir()
        run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(built)], cwd=ROOT)
        (wheel,) = built.glob("*.whl")
        install = ["install", "--quiet", "--disable-pip-version-check", "--no-index", "--no-deps"]
        run([sys.executable, "-m", "pip", *install, "--target", str(unpacked), str(wheel)], cwd=elsewhere)
        check_files(unpacked / "vitreous")
        check_use(unpacked, elsewhere)
        print(f"{wheel.name}: builds, installs, imports and answers")


def check_files(package: Path) -> None:
    """Every file of the source tree is in the wheel, those that are easily forgotten by name."""
    source = ROOT / "src" / "vitreous"
    files = {str(path.relative_to(source)) for path in source.rglob("*") if path.is_file()}
    files = {name for name in files if "__pycache__" not in name}
    missing = sorted(name for name in files | set(NEEDED) if not (package / name).is_file())
    if missing:
        sys.exit(f"the wheel lacks {', '.join(missing)}")


def check_use(unpacked: Path, elsewhere: Path) -> None:
    """Import the package and ask the command for its version, with no other copy of the package in reach."""
    environment = {**os.environ, "PYTHONPATH": str(unpacked)}
    where, version = run([sys.executable, "-c", PROGRAM], cwd=elsewhere, env=environment).split()
    if not Path(where).is_relative_to(unpacked):
        sys.exit(f"imported {where} instead of the wheel in {unpacked}")
    for command in ([str(unpacked / "bin" / "vitreous")], [sys.executable, "-m", "vitreous"]):
        found = run([*command, "--version"], cwd=elsewhere, env=environment).strip()
        if found != f"vitreous {version}":
            sys.exit(f"{' '.join(command)} --version: expected vitreous {version}, found {found}")


def run(command: list[str], *, cwd: Path, env: dict[str, str] | None = None) -> str:
    """Standard output of a command; exit with all that it said when it fails."""
    ended = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False)
    if ended.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{ended.stdout}{ended.stderr}")
    return ended.stdout


if __name__ == "__main__":
    main()
