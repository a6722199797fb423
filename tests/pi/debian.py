"""Download Debian packages of any release and architecture, and unpack them into a folder, without root."""

import os
import shutil
import subprocess
from pathlib import Path

from .cache import Unavailable

_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
# Replaces apt's folders and hooks, which belong to root; proxy settings are still those of the machine.
_SETTINGS = """
#clear APT::Update::Post-Invoke; #clear APT::Update::Post-Invoke-Success;
#clear DPkg::Post-Invoke; #clear DPkg::Pre-Install-Pkgs; #clear APT::Architectures;
Dir::State "{folder}"; Dir::State::lists "{folder}/lists"; Dir::State::status "{folder}/status";
Dir::Cache "{folder}"; Dir::Cache::archives "{folder}/archives"; Dir::Log "{folder}";
Dir::Etc::sourcelist "{folder}/sources.list"; Dir::Etc::sourceparts "/dev/null";
APT::Architecture "{architecture}"; APT::Architectures {{ "{architecture}"; }};
APT::Install-Recommends "false"; APT::Sandbox::User ""; Acquire::Languages "none"; Acquire::Retries "3";
APT::Update::Error-Mode "any";
"""


def call(*command: str | Path, cwd: Path | None = None) -> str:
    """Run a command and return its standard output.

    Raises:
        Unavailable: the command fails; the message holds the last line that it printed.
    """
    try:
        result = subprocess.run([str(c) for c in command], capture_output=True, text=True, cwd=cwd, check=True)
    except FileNotFoundError as error:
        raise Unavailable(f"{command[0]} is not installed") from error
    except subprocess.CalledProcessError as error:
        lines = (error.stderr.strip() or error.stdout.strip() or "no output").splitlines()
        raise Unavailable(f"{Path(command[0]).name} failed: {lines[-1]}") from error
    return result.stdout


def architecture() -> str:
    """Return Debian's name of this machine's architecture."""
    return call("dpkg", "--print-architecture").strip()


def _archive() -> str:
    """Return the URI of the Debian archive that this machine uses."""
    targets = call("apt-get", "indextargets", "--format", "$(REPO_URI) $(COMPONENT)", "Created-By: Packages")
    for line in targets.splitlines():
        uri, _, component = line.partition(" ")
        if component == "main" and uri.rstrip("/").endswith("/debian"):
            return uri
    raise Unavailable("apt's sources name no Debian archive")


def unpack(root: Path, suite: str, arch: str, packages: list[str], alone: tuple[str, ...] = ()) -> None:
    """Download and unpack packages with their dependencies, and the packages of `alone` without, into `root`.

    Raises:
        Unavailable: they cannot be downloaded.
    """
    for tool in ("apt-get", "dpkg-deb"):
        if shutil.which(tool) is None:
            raise Unavailable(f"{tool} is not installed; the board's system is made of Debian packages")
    if not _KEYRING.is_file():
        raise Unavailable(f"there is no {_KEYRING}, which Debian packages are checked against")
    folder = root.with_name(f"{root.name}.apt")
    for inside in ("lists/partial", "archives/partial"):
        (folder / inside).mkdir(parents=True)
    (folder / "status").touch()
    source = f"deb [arch={arch} signed-by={_KEYRING}] {_archive()} {suite} main\n"
    (folder / "sources.list").write_text(source)
    settings = folder / "apt.conf"
    settings.write_text(_SETTINGS.format(folder=folder, architecture=arch))
    apt = ("apt-get", "--quiet=2", f"--config-file={settings}")
    call(*apt, "update")
    call(*apt, "--yes", "--download-only", "install", *packages)
    if alone:
        call(*apt, "download", *alone, cwd=folder / "archives")
    root.mkdir(exist_ok=True)
    for package in sorted((folder / "archives").glob("*.deb")):
        call("dpkg-deb", "--extract", package, root)
    shutil.rmtree(folder)
    _relink(root)


def _relink(root: Path) -> None:
    """Make absolute links relative: they would lead to files of this machine."""
    for link in (path for path in root.rglob("*") if path.is_symlink()):
        target = str(link.readlink())
        if target.startswith("/") and (root / target[1:]).exists():
            link.unlink()
            link.symlink_to(os.path.relpath(root / target[1:], link.parent))
