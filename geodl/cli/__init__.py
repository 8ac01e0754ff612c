"""The geodl command, a page a subcommand. Nothing heavy is imported before the arguments are read.

Exit codes: 0 done; 1 an input, an output or this machine was no good, the message says which and why; 2 the arguments were no good;
130 interrupted.
"""

from __future__ import annotations

import argparse
import logging
import signal
import sys
import warnings
from collections.abc import Sequence
from typing import Any

from geodl import __version__
from geodl.cli import (
    cache,
    convert,
    doctor,
    evaluate,
    info,
    match,
    models,
    precompute,
    predict,
    repair,
    texture,
    train,
    view,
)
from geodl.cli.interrupt import INTERRUPTED, SAID, Interrupts, supervise
from geodl.cli.mesh_files import MeshFiles

__all__ = ["MeshFiles", "entry", "main", "parser"]

_PAGES = (
    match,
    view,
    info,
    repair,
    convert,
    train,
    predict,
    evaluate,
    texture,
    precompute,
    cache,
    models,
    doctor,
)
_log = logging.getLogger("geodl")


def entry() -> int:
    """The command as a process: an interrupt ends it within a second."""
    supervised = supervise()
    interrupts = Interrupts()
    if signal.getsignal(signal.SIGINT) != signal.SIG_IGN:  # as of a shell's background jobs
        signal.signal(signal.SIGINT, interrupts)
    code = INTERRUPTED
    try:
        code = main()
    except BaseException:
        # Lightning makes an exit of an interrupt, native code an error.
        if not interrupts.happened:
            raise
    if interrupts.happened:
        if not supervised:
            sys.stderr.write(SAID)
        return INTERRUPTED
    return code


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit code."""
    chosen = parser().parse_args(argv)
    logging.basicConfig(format="%(name)s: %(message)s", stream=sys.stderr)
    _log.setLevel((logging.WARNING, logging.INFO, logging.DEBUG)[min(chosen.verbose, 2)])
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _warn
            warnings.simplefilter("ignore", DeprecationWarning)
            code: int | None = chosen.run(chosen)
            return code or 0
    except (OSError, ValueError, IndexError, TypeError, RuntimeError, ImportError) as error:
        _log.debug("where it happened", exc_info=True)
        print(f"geodl: {error}", file=sys.stderr)
        return 1


def _warn(message: Warning | str, *_: Any, **__: Any) -> None:
    print(f"geodl: note: {message}", file=sys.stderr)


def parser() -> argparse.ArgumentParser:
    """What the command understands."""
    made = argparse.ArgumentParser(
        prog="geodl",
        description="Geometric deep learning on meshes and point clouds.",
        epilog="Exit codes: 0 done; 1 an input, an output or this machine was no good; 2 bad arguments; 130 interrupted.",
    )
    made.add_argument("--version", action="version", version=f"geodl {__version__}")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument(
        "-v", "--verbose", action="count", default=0, help="say more; twice: where an error happened too"
    )
    commands = made.add_subparsers(required=True, metavar="COMMAND")
    for page in _PAGES:
        page.add(commands, common)
    return made
