"""A Raspberry Pi without a Pi: Debian 12 for ARM, which Raspberry Pi OS is built on, under an emulator.

Nothing is installed on this machine, and root is not needed. Emulated times say nothing about a Pi.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from .cache import Unavailable, cached
from .debian import architecture, call, unpack
from .pillow import HEADERS, build_pillow

ROOT = Path(__file__).parents[2]
_PYTHON = "usr/bin/python3.11"
_PACKAGES = {
    "arm64": ["python3.11", "libstdc++6"],
    "armhf": ["python3.11", "libstdc++6", "python3-numpy", "libjpeg62-turbo"],
}
_PIP = (sys.executable, "-m", "pip", "install", "--quiet", "--only-binary=:all:", "--python-version=3.11")
_TAGS = {
    "arm64": ("manylinux_2_28_aarch64", "manylinux_2_27_aarch64", "manylinux_2_17_aarch64", "manylinux2014_aarch64"),
    "armhf": ("manylinux_2_34_armv7l",),
}
_EMULATORS = ("qemu-aarch64", "qemu-arm")
_ROOMS = ("edge", "train", "convert", "benchmarks", "demo")


@dataclass(frozen=True)
class Board:
    """A system for ARM with Osteolite in it."""

    emulator: Path
    processor: str  # as the emulator calls it
    root: Path  # of the system
    packages: tuple[Path, ...]  # folders that Python imports from
    libraries: tuple[Path, ...] = ()  # folders of libraries that Debian would have linked to their usual place

    def with_processor(self, processor: str) -> "Board":
        return replace(self, processor=processor)

    def with_package(self, folder: Path) -> "Board":
        """The same with a folder of packages that are found first."""
        return replace(self, packages=(folder, *self.packages))

    def command(self, *arguments: str | Path) -> tuple[list[str], dict[str, str]]:
        """How its Python is called on this machine, and with which environment."""
        # Without -S Debian's Python would look for packages in this machine's own folders.
        command = [self.emulator, "-cpu", self.processor, "-L", self.root, self.root / _PYTHON, "-S", *arguments]
        places = {"PYTHONPATH": self.packages, "LD_LIBRARY_PATH": self.libraries}
        environment = {name: ":".join(map(str, folders)) for name, folders in places.items() if folders}
        return [str(part) for part in command], {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", **environment}

    def python(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        command, environment = self.command(*arguments)
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=550, check=False)

    def osteolite(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        """Run the console script that the wheel installs."""
        script = next(folder / "bin/osteolite" for folder in self.packages if (folder / "bin/osteolite").is_file())
        return self.python(script, *arguments)


def arm64() -> Board:
    """A Raspberry Pi 4 under a 64-bit system, with the newest runtime.

    Raises:
        Unavailable: this machine cannot have one.
    """
    wanted = _requirements("dicom")
    versions = _versions("numpy", "pillow", "ai-edge-litert", "click", "pydicom")

    def build(folder: Path) -> None:
        unpack(folder / "root", "bookworm", "arm64", _PACKAGES["arm64"])
        pins = folder / "pins.txt"
        pins.write_text("\n".join(versions))
        _install(folder / "site", "arm64", "--constraint", str(pins), *wanted)

    emulator = _emulator("aarch64")
    folder = cached("arm64", "\n".join([*wanted, *versions]), build)
    return Board(emulator, "cortex-a72", folder / "root", (folder / "site",))


def armhf() -> Board:
    """A Raspberry Pi 2 under a 32-bit system, with the runtime that there is for it.

    Raises:
        Unavailable: this machine cannot have one.
    """
    versions = _versions("pillow", "click")
    if len(versions) < 2:
        raise Unavailable("Pillow and click must be installed here, whose versions the board gets")
    pillow, click = versions

    def build(folder: Path) -> None:
        unpack(folder / "root", "bookworm", "armhf", _PACKAGES["armhf"], HEADERS)
        _install(folder / "site", "armhf", "--no-deps", "tflite-runtime==2.14.0", click)
        build_pillow(folder / "root", folder / "site", pillow.partition("==")[2])

    emulator = _emulator("arm")
    folder = cached("armhf", "\n".join(versions), build)
    libraries = folder / "root/usr/lib/arm-linux-gnueabihf"
    packages = (folder / "site", folder / "root/usr/lib/python3/dist-packages")
    return Board(emulator, "cortex-a7", folder / "root", packages, (libraries / "blas", libraries / "lapack"))


def install_project(site: Path) -> None:
    """Build this tree's wheel, and unpack it with its console script into a folder of packages.

    Raises:
        Unavailable: the tools to build it cannot be had here.
    """
    with tempfile.TemporaryDirectory() as name:
        # A copy: setuptools builds beside the source, where files of an earlier build may lie.
        tree = Path(name) / "tree"
        for room in _ROOMS:
            shutil.copytree(ROOT / room, tree / room, ignore=shutil.ignore_patterns("__pycache__", "results"))
        for file in ("pyproject.toml", "README.md", "LICENSE", "NOTICE"):
            shutil.copy(ROOT / file, tree)
        call(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", name, tree)
        (wheel,) = Path(name).glob("*.whl")
        call(*_PIP, "--no-deps", "--target", site, wheel)


def _requirements(extra: str) -> list[str]:
    """What the edge package and one extra depend on; pip looks at the markers, for this machine."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return [*project["dependencies"], *project["optional-dependencies"][extra]]


def _versions(*packages: str) -> list[str]:
    """The versions installed here, so that two machines differ in nothing but the machine."""
    found = []
    for package in packages:
        try:
            found.append(f"{package}=={version(package)}")
        except PackageNotFoundError:
            continue
    return found


def _install(site: Path, processor: str, *requirements: str) -> None:
    tags = [f"--platform={tag}" for tag in _TAGS[processor]]
    call(*_PIP, *tags, "--target", site, *requirements)


def _emulator(processor: str) -> Path:
    """Debian 13's emulator; LiteRT crashes in that of Debian 12."""
    if sys.platform != "linux" or os.uname().machine != "x86_64":
        raise Unavailable(f"boards are emulated on Linux on x86-64 alone, and this is {os.uname().machine}")
    here = architecture()

    def build(folder: Path) -> None:
        unpack(folder / "root", "trixie", here, ["qemu-user"])
        for name in _EMULATORS:
            (folder / "root/usr/bin" / name).rename(folder / name)
        shutil.rmtree(folder / "root")  # 400 MB of emulators for other processors

    return cached("qemu", here, build) / f"qemu-{processor}"
