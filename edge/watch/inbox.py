"""Find the files of a watched folder that are complete and not yet scored."""

import os
import stat
from collections.abc import Callable, Collection, Iterator

from ..imaging.discovery import is_image_file
from .journal import Journal, Version


class Inbox:
    """The complete files of a folder that have no line in the journal.

    The folder is polled, because network shares, on which X-ray machines store their files, send no notifications. A
    file is complete when two polls find the same size and modification time; the caller chooses the time between
    polls. Links are not followed. Memory grows with the number of waiting files, and by 100 bytes per file that is not
    an image.

    Args:
        folder: folder to watch, with its subfolders.
        journal: record of the files that have been scored.
        skipped: files and folders to ignore.

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
        self._seen: set[Version] = set()  # found by the last poll
        self._not_images: set[Version] = set()
        self.unreadable = 0  # number of subfolders that the last poll could not list

    def poll(self, heartbeat: Callable[[], None] = lambda: None) -> list[Version]:
        """Return the images that have not changed since the last poll, oldest first.

        Args:
            heartbeat: called often while a large folder is listed.

        Raises:
            OSError: the folder itself cannot be listed.
        """
        before, self._seen = self._seen, set()
        not_images, self._not_images = self._not_images, set()
        self.unreadable = 0
        complete = []
        for version in self._versions(heartbeat):
            if version in not_images:
                self._not_images.add(version)
            elif version not in self._journal:
                self._seen.add(version)
                if version in before:
                    complete.append(version)
        images = []
        for version in complete:
            heartbeat()
            if self._is_image(version):
                images.append(version)
        return sorted(images, key=lambda version: (version.modified_ns, version.file))

    def path(self, version: Version) -> str:
        """Return the path of a file."""
        return os.path.join(self.folder, version.file)

    def is_unchanged(self, version: Version) -> bool:
        """Whether the file exists and still has this size and modification time."""
        try:
            return _version(version.file, os.lstat(self.path(version))) == version
        except OSError:
            return False

    def _is_image(self, version: Version) -> bool:
        path = self.path(version)
        if is_image_file(path):
            return True
        if os.access(path, os.R_OK):  # otherwise its content is unknown, and the next poll tries again
            self._seen.discard(version)
            self._not_images.add(version)
        return False

    def _versions(self, heartbeat: Callable[[], None]) -> Iterator[Version]:
        """Yield every regular file in the folder and below, in no particular order."""
        folders = [""]
        while folders:
            inside = folders.pop()
            for entry in self._entries(inside):
                heartbeat()
                name = os.path.join(inside, entry.name)
                if entry.name.startswith(".") or name in self._skipped:
                    continue
                try:
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(name)
                        continue
                    status = entry.stat(follow_symlinks=False)
                except OSError:  # removed since the folder was listed
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
            # A subfolder that was removed or cannot be read must not stop the others.
            self.unreadable += not isinstance(error, FileNotFoundError)
            return []


def _version(name: str, status: os.stat_result) -> Version:
    return Version(name, status.st_size, status.st_mtime_ns)
