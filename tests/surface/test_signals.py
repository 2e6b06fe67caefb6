from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager

import anyio
import anyio.to_thread
import pytest

from phinops.surface.early import obey_early
from phinops.surface.signals import obey_signals


async def test_the_first_signal_stops_and_a_hangup_reloads() -> None:
    stopped = anyio.Event()
    reloaded = anyio.Event()

    async def reload() -> None:
        reloaded.set()

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            await tasks.start(obey_signals, stopped.set, reload)
            os.kill(os.getpid(), signal.SIGHUP)
            await reloaded.wait()
            assert not stopped.is_set()
            os.kill(os.getpid(), signal.SIGTERM)
            await stopped.wait()
            tasks.cancel_scope.cancel()


async def test_a_reload_that_hangs_does_not_hold_up_the_end() -> None:
    stopped = anyio.Event()
    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            await tasks.start(obey_signals, stopped.set, anyio.sleep_forever)
            os.kill(os.getpid(), signal.SIGHUP)
            os.kill(os.getpid(), signal.SIGINT)
            await stopped.wait()
            tasks.cancel_scope.cancel()


@contextmanager
def running(program: str) -> Generator[subprocess.Popen[str]]:
    """A Python process that does not outlive the test."""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def test_a_second_signal_ends_the_process_at_once() -> None:
    program = """
import anyio
from phinops.surface import logs
from phinops.surface.signals import obey_signals
async def main():
    async with anyio.create_task_group() as tasks:
        await tasks.start(obey_signals, lambda: print('draining', flush=True))
        print('up', flush=True)
logs.configure("error")
anyio.run(main)
"""
    with running(program) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        process.send_signal(signal.SIGINT)
        assert process.stdout.readline() == "draining\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(5) == 130


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_end_that_comes_while_it_starts_ends_it_with_0(number: signal.Signals) -> None:
    """A hangup before it changes nothing: what it asks to be read is being read."""
    program = """
import time
from phinops.surface.early import obey_early
obey_early()
print('reading', flush=True)
while True:
    time.sleep(10)
"""
    with running(program) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "reading\n"
        process.send_signal(signal.SIGHUP)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.2)
        process.send_signal(number)
        assert process.wait(5) == 0


def test_signals_are_minded_before_the_libraries_of_a_start_are_loaded() -> None:
    program = """
import sys
before = set(sys.modules)
import phinops.surface.early
print(sorted({each.partition('.')[0] for each in set(sys.modules) - before} - {'phinops'}), flush=True)
"""
    with running(program) as process:
        assert process.stdout is not None
        loaded = set(json.loads(process.stdout.readline().replace("'", '"')))
    assert loaded <= set(sys.stdlib_module_names)


async def test_where_no_signals_arrive_there_is_nothing_to_obey_early() -> None:
    before = signal.getsignal(signal.SIGHUP)
    await anyio.to_thread.run_sync(obey_early)
    assert signal.getsignal(signal.SIGHUP) is before
