"""What lies in a log's folder, and the marker that tells a log from an empty folder.

    log/data.mdb, log/lock.mdb   the LMDB environment
    log/seal.json                whether its file is as we left it (seal.py): may lack
    log.json                     the log's id and store format: there is a log
    owner.lock                   held by the owner, holds its process id
    wake/                        sockets of the processes that follow
    offsets/                     an LMDB environment with what named subscriptions have saved

`log.json` is written last of all when a log is made, after the environment's first commit, and
before the first append. So where it stands, an empty or missing data file is damage, never a
new log. Where it does not, the data file is at most the beginning of a log that holds nothing,
or one whose marker someone took away: then it is written again.
"""

from __future__ import annotations

import mmap
import os
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from outlive.events.errors import CorruptLog, InvalidDefinition, LogNotWritable, NewerFormat
from outlive.events.lmdb_store.layout import DATA_FILE, STORE_FORMAT

META_PAGES_BYTES: Final = 2 * mmap.PAGESIZE


class Marker(msgspec.Struct, frozen=True, kw_only=True):
    """The content of `log.json`."""

    log_id: str
    store_format: int


def folder_path(path: str | os.PathLike[str]) -> Path:
    """Return where a folder is, for good: what is relative is so to where the process is now.

    Raises InvalidDefinition unless it is a path.
    """
    text: object = None
    with suppress(TypeError):
        text = os.fspath(path)
    if not isinstance(text, str) or not text or "\0" in text:
        raise InvalidDefinition(f"a folder is a path, as text or Path, not {path!r}")
    return Path(os.path.abspath(text))


class Folder:
    """Paths of the parts, and the marker."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = folder_path(path)
        self.environment = self.path / "log"
        self.data_file = self.environment / DATA_FILE
        self.wake = self.path / "wake"
        self.owner_lock = self.path / "owner.lock"
        self._marker = self.path / "log.json"

    def marker(self) -> Marker | None:
        """Return the marker; None if there is no log.

        Raises:
            CorruptLog: it cannot be read, or the data file that it promises is not there.
            NewerFormat: a later release made this log.
        """
        try:
            content = self._marker.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise LogNotWritable(str(self.path), str(error)) from error
        try:
            found = msgspec.json.decode(content, type=Marker)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise CorruptLog(str(self._marker), str(error)) from None
        if found.store_format > STORE_FORMAT:
            raise NewerFormat(f"the log in {str(self.path)!r}", found.store_format, STORE_FORMAT)
        size_bytes = self.data_file.stat().st_size if self.data_file.exists() else 0
        if size_bytes < META_PAGES_BYTES:
            raise CorruptLog(str(self.data_file), f"it has {size_bytes} bytes")
        return found

    def write_marker(self, log_id: str) -> None:
        """Put the marker in place, durably, whole or not at all. Raises LogNotWritable."""
        content = msgspec.json.encode(Marker(log_id=log_id, store_format=STORE_FORMAT))
        draft = self._marker.with_suffix(".new")
        try:
            with draft.open("wb") as file:
                file.write(content + b"\n")
                file.flush()
                os.fsync(file.fileno())
            _sync_directory(self.environment)
            draft.replace(self._marker)
            _sync_directory(self.path)
            _sync_directory(self.path.parent)
        except OSError as error:
            raise LogNotWritable(str(self.path), str(error)) from error

    def make(self) -> None:
        """Make the folder. Raises LogNotWritable."""
        try:
            self.environment.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise LogNotWritable(str(self.path), error.strerror or str(error)) from error

    def clear_stillborn(self) -> None:
        """Remove a data file that a process killed while making the log left half-made."""
        if self.data_file.exists() and self.data_file.stat().st_size < META_PAGES_BYTES:
            self.data_file.unlink()


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
