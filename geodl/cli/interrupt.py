"""Ctrl-C ends a command within a second, and says so in a line."""

from __future__ import annotations

import os
import signal
import sys
import threading
from types import FrameType

__all__ = ["INTERRUPTED", "SAID", "Interrupts", "supervise"]

INTERRUPTED = 130  # as shells count an end by SIGINT
SAID = "geodl: interrupted\n"
_PATIENCE = 0.5  # seconds that the work has to clear away half files


class Interrupts:
    """Turns the first SIGINT into a KeyboardInterrupt, and remembers it; more of them do not disturb the clearing up."""

    happened = False

    def __call__(self, *_: object) -> None:
        self.happened = True
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        raise KeyboardInterrupt


def supervise() -> bool:
    """Forks: the child returns and does the work; the parent waits for it, and ends with its exit code.

    A native call, of another library too, may hold the interpreter for seconds, and no thread and no handler of this process then
    runs. The parent has nothing else to do: it passes the interrupt on, ends work that does not stop by itself, and says so.
    Call it before anything is imported that does not survive a fork. Where there is none (False), interrupts wait for such calls.
    """
    if os.name != "posix" or sys.platform == "darwin":  # whose system libraries do not survive a fork
        return False
    from_parent, to_child = os.pipe()
    child = os.fork()
    if not child:
        os.close(to_child)
        threading.Thread(target=_end_with, args=(from_parent,), daemon=True).start()
        return True
    os.close(from_parent)
    killed = False

    def stop(*_: object) -> None:
        nonlocal killed
        killed = True
        os.kill(child, signal.SIGKILL)

    def pass_on(number: int, _: FrameType | None) -> None:
        os.kill(child, number)
        if number == signal.SIGINT and not signal.getitimer(signal.ITIMER_REAL)[0]:
            signal.setitimer(signal.ITIMER_REAL, _PATIENCE)

    signal.signal(signal.SIGALRM, stop)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:  # as under nohup
            signal.signal(number, pass_on)
    _, status = os.waitpid(child, 0)
    signal.setitimer(signal.ITIMER_REAL, 0)
    code = INTERRUPTED if killed else os.waitstatus_to_exitcode(status)
    if code == INTERRUPTED:
        os.write(2, SAID.encode())
    elif code < 0 and -code not in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        os.write(2, f"geodl: ended by signal {signal.Signals(-code).name}\n".encode())
    os._exit(code if code >= 0 else 128 - code)


def _end_with(from_parent: int) -> None:
    """Nothing is ever written into the pipe: it ends with the parent, even one that was killed."""
    os.read(from_parent, 1)
    os._exit(INTERRUPTED)
