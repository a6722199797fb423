"""An emulated Raspberry Pi: Debian 12 for ARM, on which Raspberry Pi OS is based, in QEMU.

Nothing is installed on this machine, and root is not needed. Emulated times say nothing about the times of a Pi.
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

from . import debian
from .cache import Unavailable, cached
from .debian import call, unpack
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
    """An ARM system with Osteolite."""

    emulator: Path
    cpu: str  # CPU model, as the emulator names it
    root: Path  # root folder of the system
    packages: tuple[Path, ...]  # folders of Python packages
    libraries: tuple[Path, ...] = ()  # library folders that Debian's installation scripts would link

    def with_cpu(self, cpu: str) -> "Board":
        return replace(self, cpu=cpu)

    def with_package(self, folder: Path) -> "Board":
        """Return the same board with one more folder of packages, which is searched first."""
        return replace(self, packages=(folder, *self.packages))

    def command(self, *arguments: str | Path) -> tuple[list[str], dict[str, str]]:
        """Return the command line and the environment variables that run Python on the board."""
        # Without -S, Python would import packages of this machine.
        command = [self.emulator, "-cpu", self.cpu, "-L", self.root, self.root / _PYTHON, "-S", *arguments]
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
    """Build a Raspberry Pi 4 with a 64-bit system and the newest runtime.

    Raises:
        Unavailable: it cannot be built on this machine.
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
    """Build a Raspberry Pi 2 with a 32-bit system and tflite-runtime, the runtime available for it.

    Raises:
        Unavailable: it cannot be built on this machine.
    """
    versions = _versions("pillow", "click")
    if len(versions) < 2:
        raise Unavailable("Pillow and click must be installed here: the board gets the same versions")
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
    """Build the wheel and install it, with its console script, into a folder of packages.

    Raises:
        Unavailable: the wheel cannot be built on this machine.
    """
    with tempfile.TemporaryDirectory() as name:
        # A copy, because setuptools builds beside the source, where files of earlier builds may be.
        tree = Path(name) / "tree"
        for room in _ROOMS:
            shutil.copytree(ROOT / room, tree / room, ignore=shutil.ignore_patterns("__pycache__", "results"))
        for file in ("pyproject.toml", "README.md", "LICENSE", "NOTICE"):
            shutil.copy(ROOT / file, tree)
        call(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", name, tree)
        (wheel,) = Path(name).glob("*.whl")
        call(*_PIP, "--no-deps", "--target", site, wheel)


def _requirements(extra: str) -> list[str]:
    """Return the dependencies of the base install and of an extra; pip evaluates their markers for this machine."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return [*project["dependencies"], *project["optional-dependencies"][extra]]


def _versions(*packages: str) -> list[str]:
    """Return requirements for the versions installed here, so that two machines differ only in the hardware."""
    found = []
    for package in packages:
        try:
            found.append(f"{package}=={version(package)}")
        except PackageNotFoundError:
            continue
    return found


def _install(site: Path, architecture: str, *requirements: str) -> None:
    tags = [f"--platform={tag}" for tag in _TAGS[architecture]]
    call(*_PIP, *tags, "--target", site, *requirements)


def _emulator(architecture: str) -> Path:
    """Return the emulator of Debian 13; LiteRT crashes in that of Debian 12."""
    if sys.platform != "linux" or os.uname().machine != "x86_64":
        raise Unavailable(f"boards are emulated only on Linux on x86-64; this is {os.uname().machine}")
    here = debian.architecture()

    def build(folder: Path) -> None:
        unpack(folder / "root", "trixie", here, ["qemu-user"])
        for name in _EMULATORS:
            (folder / "root/usr/bin" / name).rename(folder / name)
        shutil.rmtree(folder / "root")  # 400 MB of emulators for other architectures

    return cached("qemu", here, build) / f"qemu-{architecture}"
