"""Signals that come before anything has begun. Imports next to nothing: it is what a start does first."""

from __future__ import annotations

import signal
import sys
import threading


def obey_early() -> None:
    """Until `signals.obey_signals` listens: signals that would kill. Nothing is under way yet, so one that asks to end
    ends the program with 0; a SIGHUP is let pass, since config and rules are being read just now.

    Only the main thread gets signals; called in another it does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(0))
    signal.signal(signal.SIGHUP, lambda *_: None)
