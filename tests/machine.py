"""A private machine: systemd booted in namespaces of its own, with phinops installed, for tests of the service."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
BOOT = Path(__file__).parent / "e2e" / "boot.sh"
PYTHON = Path("/usr/bin/python3")
"""Python for the service: `ProtectHome=` hides one that was installed below a home folder."""

_ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}
"""Of every command for the machine: nothing of whoever runs the tests, whose PATH may lack half of it."""

_NEEDED = ("systemctl", "unshare", "nsenter", "ip", "pivot_root")
_NAMESPACES = ("--mount", "--cgroup", "--uts", "--ipc", "--net", "--pid")


class NoMachine(Exception):
    """Namespaces, cgroups or systemd are not to be had here; the text says which."""


@dataclass(frozen=True, slots=True)
class Ran:
    code: int
    out: str
    err: str


@dataclass(frozen=True, slots=True)
class Machine:
    """The booted machine; `pid` is its systemd, as this machine sees it."""

    pid: int

    def run(self, *command: str, text: str | None = None, timeout: float = 60) -> Ran:
        """Run a command inside, and say how it ended."""
        inside = ["nsenter", f"--target={self.pid}", *_NAMESPACES, "--root", "--wd", "--", *command]
        done = subprocess.run(
            inside, input=text, capture_output=True, text=True, timeout=timeout, check=False, env=_ENVIRONMENT
        )
        return Ran(done.returncode, done.stdout, done.stderr)

    def ok(self, *command: str, text: str | None = None) -> str:
        """What a command inside printed; it must end well."""
        ran = self.run(*command, text=text)
        assert ran.code == 0, (command, ran)
        return ran.out

    def write(self, path: str, text: str) -> None:
        self.ok("tee", path, text=text)

    def show(self, unit: str, name: str) -> str:
        """A property of a unit."""
        return self.ok("systemctl", "show", unit, "-p", name, "--value").strip()

    def journal(self, unit: str) -> str:
        return self.ok("journalctl", "-u", unit, "--no-pager", "-o", "cat")

    def wait_for(self, what: Callable[[], bool], seconds: float = 30.0) -> None:
        """Until it is so."""
        end = time.monotonic() + seconds
        while not what():
            assert time.monotonic() < end, f"not within {seconds} s"
            time.sleep(0.05)  # noqa: TID251 - nothing inside can wake a test outside


def _cgroup_root() -> Path:
    for path in (Path("/sys/fs/cgroup"), Path("/sys/fs/cgroup/unified")):
        if (path / "cgroup.controllers").exists():
            return path
    raise NoMachine("there is no cgroup v2 hierarchy")


def _check() -> None:
    if os.geteuid() != 0:
        raise NoMachine("only root may make these namespaces")
    missing = [name for name in _NEEDED if shutil.which(name, path=_ENVIRONMENT["PATH"]) is None]
    if missing or not Path("/lib/systemd/systemd").exists():
        raise NoMachine(f"not installed: {', '.join(missing) or 'systemd'}")
    tried = subprocess.run(["unshare", *_NAMESPACES, "--fork", "true"], capture_output=True, text=True, check=False)
    if tried.returncode:
        raise NoMachine(f"namespaces are refused: {tried.stderr.strip()}")


def install(venv: Path) -> None:
    """The project's wheel, built from the tree, in an environment of Debian's Python.

    The dependencies come from PyPI once and are kept in uv's cache.
    """
    uv = Path(sys.executable).parent / "uv"
    command = os.fspath(uv) if uv.exists() else shutil.which("uv")
    if command is None:
        raise NoMachine("uv is not installed")
    for arguments in (
        ["venv", "-q", "--relocatable", "-p", os.fspath(PYTHON), os.fspath(venv)],
        [
            "pip",
            "install",
            "-q",
            "--python",
            os.fspath(venv / "bin" / "python"),
            "--link-mode",
            "copy",
            os.fspath(ROOT),
        ],
    ):
        done = subprocess.run([command, *arguments], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    # What runs is what was installed, not what a cache kept of an older build of the same version.
    assert _digest(venv) == _digest(ROOT / "daemon")


def _digest(folder: Path) -> str:
    package = next(folder.glob("lib/python*/site-packages/phinops"), folder / "phinops")
    text = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        text.update(path.read_bytes())
    return text.hexdigest()


@contextlib.contextmanager
def booted(work: Path, files: Mapping[str, tuple[str, int]]) -> Generator[Machine]:
    """The machine with `files`, text and mode by absolute path, from boot to halt. `work` is a folder for it.

    Raises:
        NoMachine: it cannot be had here.
    """
    _check()
    cgroup = _cgroup_root() / f"phinops-test.{os.getpid()}"
    for name, (text, mode) in files.items():
        path = work / "files" / name.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        path.chmod(mode)
    (work / "overlay").mkdir()
    (work / "console.log").touch()
    install(work / "venv")
    try:
        cgroup.mkdir()
    except OSError as error:
        raise NoMachine(f"no cgroup of its own: {error.strerror}") from error
    unshare = ["unshare", *_NAMESPACES, "--propagation", "private", "--fork", "--kill-child=KILL"]
    enter = f"echo $BASHPID >{cgroup}/cgroup.procs; exec {shlex.join([*unshare, 'bash', str(BOOT), str(work)])}"
    with (
        (work / "boot.log").open("w") as log,
        subprocess.Popen(["bash", "-c", enter], stdout=log, stderr=log, env=_ENVIRONMENT) as outer,
    ):
        try:
            yield _wait_until_up(outer, work)
        finally:
            _halt(outer)
            for folder in (*sorted((path for path in cgroup.rglob("*") if path.is_dir()), reverse=True), cgroup):
                with contextlib.suppress(OSError):
                    folder.rmdir()


def _wait_until_up(outer: subprocess.Popen[bytes], work: Path) -> Machine:
    end = time.monotonic() + 60
    while time.monotonic() < end and outer.poll() is None:
        children = Path(f"/proc/{outer.pid}/task/{outer.pid}/children").read_text().split()
        if children and Path(f"/proc/{children[0]}/comm").read_text().strip() == "systemd":
            machine = Machine(int(children[0]))
            if machine.run("systemctl", "is-system-running", "--wait").out.strip() in ("running", "degraded"):
                return machine
        time.sleep(0.05)  # noqa: TID251 - a boot wakes nobody
    raise NoMachine(f"systemd did not boot: {(work / 'boot.log').read_text()[-2000:]}")


def _halt(outer: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(OSError, ProcessLookupError, IndexError):
        child = Path(f"/proc/{outer.pid}/task/{outer.pid}/children").read_text().split()[0]
        os.kill(int(child), signal.SIGRTMIN + 3)  # the signal by which a container is told to halt
    try:
        outer.wait(10)
    except subprocess.TimeoutExpired:
        outer.kill()
        outer.wait()
