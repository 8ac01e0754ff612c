"""Ctrl-C ends a command within a second, and says so in a line."""

from __future__ import annotations

import os
import signal
import threading

__all__ = ["INTERRUPTED", "Interruptible"]

INTERRUPTED = 130  # as shells count an end by SIGINT
_PATIENCE = 0.7  # seconds that a native call has to come back, so that half files are cleared away


class Interruptible:
    """A block that an interrupt ends: as KeyboardInterrupt where Python runs, else, where a native call goes on, with the process.

    The signal itself writes to a pipe, so that a thread hears of it although no line of the main thread's Python runs.
    """

    def __init__(self) -> None:
        self.interrupted = False

    def __enter__(self) -> None:
        self._watched = threading.current_thread() is threading.main_thread() and (
            signal.getsignal(signal.SIGINT) is signal.default_int_handler
        )
        if not self._watched:
            return
        self._read, self._write = os.pipe()
        os.set_blocking(self._write, False)
        self._before = signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.interrupted |= kind is KeyboardInterrupt
        if not self._watched:
            return
        signal.set_wakeup_fd(self._before)
        self._ended.set()
        os.close(self._write)
        self._thread.join()
        os.close(self._read)

    def _watch(self) -> None:
        while told := os.read(self._read, 1):
            if told[0] != signal.SIGINT:
                continue
            self.interrupted = True
            if not self._ended.wait(_PATIENCE):
                os.write(2, b"geodl: interrupted\n")
                os._exit(INTERRUPTED)
