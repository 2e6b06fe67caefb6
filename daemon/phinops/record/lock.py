"""One daemon a store: a lock of the operating system, which a process that dies gives back whatever killed it."""

from __future__ import annotations

import fcntl
import os

from phinops.errors import StoreError, StoreHeld


class FileLock:
    """The lock file beside the store, which says who holds it. The file stays; only the lock on it comes and goes."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._descriptor = -1

    def acquire(self, store: str) -> None:
        """Take the lock at once.

        Raises:
            StoreHeld: somebody has it; the message names the process.
            StoreError: the lock file cannot be made.
        """
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise StoreError(f"cannot lock the store: {self._path}: {error.strerror}") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(descriptor, 20, 0).decode("ascii", "replace").strip()
            os.close(descriptor)
            by = f"process {holder}" if holder else "another process"
            raise StoreHeld(f"{store} is held by {by}: one daemon a store") from error
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        self._descriptor = descriptor

    def release(self) -> None:
        """Give the lock back."""
        os.close(self._descriptor)
