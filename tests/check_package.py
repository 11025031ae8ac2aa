"""Build sdist and wheel, install the wheel in a scratch environment and use it from there.

Not a test for pytest: it downloads what the wheel depends on. Run it with `make package`.
"""

import os
import subprocess
import sys
import tarfile
import tempfile
import venv
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
CORE_ROOMS = ["events", "projections", "actors"]
ROOMS = [*CORE_ROOMS, "interfaces"]
NEED_TESTING = [
    "outlive.testing.log_contract",
    "outlive.testing.machine",
    "outlive.testing.strategies",
]


def run(*command: str | Path, cwd: Path, fails: bool = False) -> str:
    """Return what `command` printed; end with it when it did not end as expected."""
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if (done.returncode != 0) is not fails:
        sys.exit(f"{done.stdout}\n{' '.join(map(str, command))}: status {done.returncode}")
    return done.stdout


def files_of(room: str) -> set[str]:
    folder = ROOT / room
    return {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def expect(holds: bool, message: str) -> None:
    if not holds:
        sys.exit(message)


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        # The wheel is built from the unpacked sdist, so this also shows that the sdist is whole.
        run(sys.executable, "-m", "build", "--outdir", scratch / "dist", ROOT, cwd=scratch)
        (wheel,) = (scratch / "dist").glob("*.whl")
        (sdist,) = (scratch / "dist").glob("*.tar.gz")

        in_wheel = set(zipfile.ZipFile(wheel).namelist())
        with tarfile.open(sdist) as archive:
            in_sdist = {path.partition("/")[2] for path in archive.getnames()}
        sources = {path for room in ROOMS for path in files_of(room)}
        packaged = {path for path in in_wheel if ".dist-info/" not in path}
        expect(packaged == sources, f"wheel and tree differ in {sorted(packaged ^ sources)}")
        missing = {f"{room}/{path}" for room in ROOMS for path in files_of(room)} - in_sdist
        expect(not missing, f"the sdist lacks {sorted(missing)}")

        venv.create(scratch / "venv", with_pip=True)
        bin_ = scratch / "venv" / "bin"
        pip: list[str | Path] = [
            bin_ / "python",
            "-m",
            "pip",
            "--disable-pip-version-check",
            "install",
            "--quiet",
        ]

        def imports(rooms: list[str]) -> None:
            names = {path.split("/")[1] for room in rooms for path in files_of(room)}
            code = "".join(f"import outlive.{name.removesuffix('.py')}\n" for name in sorted(names))
            run(bin_ / "python", "-I", "-W", "error", "-c", code, cwd=scratch)

        run(*pip, wheel, cwd=scratch)
        imports(CORE_ROOMS)
        hint = run(bin_ / "outlive", "--help", cwd=scratch, fails=True)
        expect("outlive[cli]" in hint, f"without the extra `outlive` should name it:\n{hint}")

        run(bin_ / "python", "-I", "-W", "error", "-c", "import outlive.testing", cwd=scratch)
        for needy in NEED_TESTING:
            hint = run(bin_ / "python", "-I", "-c", f"import {needy}", cwd=scratch, fails=True)
            expect("outlive[testing]" in hint, f"`{needy}` should name the extra:\n{hint}")

        run(*pip, f"{wheel}[cli]", cwd=scratch)
        run(bin_ / "outlive", "--help", cwd=scratch)
        run(*pip, f"{wheel}[testing]", cwd=scratch)
        imports(ROOMS)
        options = run(bin_ / "python", "-m", "pytest", "--help", cwd=scratch)
        expect("--outlive-seed" in options, "pytest does not load the plugin")
        sys.stdout.write(f"{wheel.name} and {sdist.name}: built, installed, imported\n")


if __name__ == "__main__":
    main()
