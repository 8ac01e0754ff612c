"""A headless Chromium that is spoken to through a pipe, in the DevTools protocol: no driver and no port is needed."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import select
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

_NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
_LONGEST = 60.0  # seconds for an answer, on a machine that is busy


def chromium() -> str | None:
    """Where it is installed."""
    return next((found for name in _NAMES if (found := shutil.which(name))), None)


class Browser:
    """One page in a headless Chromium that draws in software."""

    def __init__(self, program: str, profile: Path, width: int = 900, height: int = 600) -> None:
        here, self._write = os.pipe()
        self._read, there = os.pipe()

        def adopt() -> None:
            # Chromium reads from descriptor 3 and writes to 4; copies out of the way first, as either may be one of the pipes.
            reader, writer = (fcntl.fcntl(end, fcntl.F_DUPFD, 10) for end in (here, there))
            os.dup2(reader, 3)
            os.dup2(writer, 4)

        self.process = subprocess.Popen(
            [
                program,
                "--headless",
                "--no-sandbox",
                "--remote-debugging-pipe",
                "--use-angle=swiftshader",
                "--enable-unsafe-swiftshader",
                "--disable-background-networking",
                "--disable-dev-shm-usage",
                "--host-resolver-rules=MAP * ~NOTFOUND",
                f"--user-data-dir={profile}",
                f"--window-size={width},{height}",
                "about:blank",
            ],
            preexec_fn=adopt,
            close_fds=False,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(here)
        os.close(there)
        self._buffer, self._number, self._session = b"", 0, ""
        self.events: list[dict[str, Any]] = []
        target = next(t for t in self.ask("Target.getTargets")["targetInfos"] if t["type"] == "page")
        attached = self.ask("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.ask(f"{domain}.enable")
        self.ask(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )

    def ask(self, method: str, **params: Any) -> dict[str, Any]:
        """The answer to a command."""
        self._number += 1
        session = {"sessionId": self._session} if self._session else {}
        asked = {"id": self._number, "method": method, "params": params, **session}
        os.write(self._write, json.dumps(asked).encode() + b"\0")
        while True:
            said = self._message()
            if said.get("id") == self._number:
                assert "error" not in said, said
                result: dict[str, Any] = said["result"]
                return result
            self.events.append(said)

    def _message(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._read], [], [], _LONGEST)
            assert ready, "Chromium does not answer"
            got = os.read(self._read, 1 << 20)
            assert got, "Chromium has ended"
            self._buffer += got
        first, self._buffer = self._buffer.split(b"\0", 1)
        made: dict[str, Any] = json.loads(first)
        return made

    def visit(self, path: Path) -> None:
        """Opens a file and waits until the viewer is ready."""
        self.events.clear()
        self.ask("Page.navigate", url=path.as_uri())
        until = time.monotonic() + _LONGEST
        while self.js("document.body && document.body.dataset.ready") != "yes":
            assert time.monotonic() < until, self.js("document.body.textContent.slice(0, 300)")
            time.sleep(0.05)

    def js(self, expression: str) -> Any:
        """The value of an expression of JavaScript in the page."""
        said = self.ask("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in said, said["exceptionDetails"]
        return said["result"].get("value")

    def mouse(self, kind: str, x: float, y: float, **more: Any) -> None:
        self.ask("Input.dispatchMouseEvent", type=kind, x=x, y=y, **more)

    def drag(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        self.mouse("mousePressed", *start, button="left", buttons=1, clickCount=1)
        self.mouse("mouseMoved", *end, button="left", buttons=1)
        self.mouse("mouseReleased", *end, button="left", clickCount=1)

    def key(self, key: str) -> None:
        for kind in ("keyDown", "keyUp"):
            self.ask("Input.dispatchKeyEvent", type=kind, key=key, text=key if kind == "keyDown" else "")

    def screenshot(self, path: Path) -> Path:
        path.write_bytes(base64.b64decode(self.ask("Page.captureScreenshot", format="png")["data"]))
        return path

    def faults(self) -> list[str]:
        """Exceptions, logged errors, and requests for anything but the page itself."""
        found = []
        for event in self.events:
            method, params = event["method"], event.get("params", {})
            if method == "Runtime.exceptionThrown":
                found.append(str(params["exceptionDetails"]))
            elif method == "Log.entryAdded" and params["entry"]["level"] == "error":
                found.append(params["entry"]["text"])
            elif method == "Network.requestWillBeSent" and not params["request"]["url"].startswith("file:"):
                found.append(params["request"]["url"])
        return found

    def close(self) -> None:
        self.process.terminate()
        self.process.wait(20)
        os.close(self._read)
        os.close(self._write)
