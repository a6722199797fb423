"""The files of a watched folder that are complete and not scored yet."""

import os
import stat
from collections.abc import Callable, Collection, Iterator

from ..imaging.discovery import is_image_file
from .journal import Journal, Version


class Inbox:
    """The files of a folder that have come to rest and have no line in the journal.

    Polled, for the network shares on which X-ray machines leave their files tell nobody of them. A file is
    taken as complete when two polls see the same size and time of change; how far these are apart is up to
    the caller. Links are not followed. Memory: the files that are waiting, 100 bytes for each that is no image.

    Args:
        folder: what is watched, with the folders in it.
        journal: what is done.
        skipped: files and folders that are left out where they lie in it.

    >>> import tempfile; from pathlib import Path
    >>> folder = Path(tempfile.mkdtemp()); inside = folder / "in"; inside.mkdir()
    >>> _ = (inside / "a.png").write_bytes(b"...")
    >>> with Journal(folder / "results.jsonl") as journal:
    ...     inbox = Inbox(inside, journal)
    ...     [version.file for _ in range(2) for version in inbox.poll()]
    ['a.png']
    """

    def __init__(self, folder: str | os.PathLike[str], journal: Journal, skipped: Collection[str] = ()) -> None:
        self.folder = os.fspath(folder)
        real = os.path.realpath(folder)
        self._journal, self._skipped = journal, {os.path.relpath(os.path.realpath(path), real) for path in skipped}
        self._seen: set[Version] = set()  # at the last poll
        self._no_images: set[Version] = set()
        self.closed = 0  # folders in it that could not be listed at the last poll

    def poll(self, alive: Callable[[], None] = lambda: None) -> list[Version]:
        """What was the same at the last poll, the oldest first.

        Args:
            alive: called often while a large folder is gone through.

        Raises:
            OSError: the folder itself cannot be listed.
        """
        before, self._seen = self._seen, set()
        no_images, self._no_images = self._no_images, set()
        self.closed = 0
        complete = []
        for version in self._versions(alive):
            if version in no_images:
                self._no_images.add(version)
            elif version not in self._journal:
                self._seen.add(version)
                if version in before:
                    complete.append(version)
        images = []
        for version in complete:
            alive()
            if self._is_image(version):
                images.append(version)
        return sorted(images, key=lambda version: (version.modified_ns, version.file))

    def path(self, version: Version) -> str:
        """Where the file lies."""
        return os.path.join(self.folder, version.file)

    def is_there(self, version: Version) -> bool:
        """Whether the file is still in this state."""
        try:
            return _version(version.file, os.lstat(self.path(version))) == version
        except OSError:
            return False

    def _is_image(self, version: Version) -> bool:
        path = self.path(version)
        if is_image_file(path):
            return True
        if os.access(path, os.R_OK):  # else its content is not known yet, and it is asked again
            self._seen.discard(version)
            self._no_images.add(version)
        return False

    def _versions(self, alive: Callable[[], None]) -> Iterator[Version]:
        """Every regular file of the folder and below, in no order."""
        folders = [""]
        while folders:
            inside = folders.pop()
            for entry in self._entries(inside):
                alive()
                name = os.path.join(inside, entry.name)
                if entry.name.startswith(".") or name in self._skipped:
                    continue
                try:
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(name)
                        continue
                    status = entry.stat(follow_symlinks=False)
                except OSError:  # taken away since the folder was listed
                    continue
                if stat.S_ISREG(status.st_mode):
                    yield _version(name, status)

    def _entries(self, inside: str) -> list[os.DirEntry[str]]:
        try:
            with os.scandir(os.path.join(self.folder, inside)) as entries:
                return list(entries)
        except OSError as error:
            if not inside:
                raise
            # A folder that was taken away, or is closed to this user, keeps nobody from the others.
            self.closed += not isinstance(error, FileNotFoundError)
            return []


def _version(name: str, status: os.stat_result) -> Version:
    return Version(name, status.st_size, status.st_mtime_ns)
