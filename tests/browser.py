"""A headless Chromium for tests of our pages, driven over its DevTools pipe: no driver, no further package.

    @pytest.mark.slow
    def test_page(browser, tmp_path):                       # from tests.browser import browser  # noqa: F401
        page = browser.open(tmp_path / "sub-01.html", width=375)
        page.click("#open")
        page.wait("document.querySelector('canvas') !== null")
        assert page.evaluate("document.title") == "..."
        page.quiet()                                        # no error on the console, nothing asked of the network

The network is off. ``page.press("ArrowRight")`` and ``page.type("text")`` go through the browser's own keyboard
events, ``page.screenshot(path)`` writes a PNG, ``page.download(selector)`` gives the text of a file that a click saves.
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import required

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
PATIENCE_S = 180  # for what takes a moment on a free machine
NEEDED = "Chromium is not installed (on Debian: apt install chromium)"
FLAGS = (
    "--headless=new", "--no-sandbox", "--remote-debugging-pipe", "--no-first-run", "--disable-extensions",
    "--disable-background-networking", "--disable-component-update", "--hide-scrollbars", "--disable-dev-shm-usage",
    "--use-angle=swiftshader", "--enable-unsafe-swiftshader",  # WebGL2 without a graphics card
    "--host-resolver-rules=MAP * ~NOTFOUND",
)  # fmt: skip
KEYS = {"Enter": (13, "\r"), "Tab": (9, ""), "Escape": (27, ""), "Backspace": (8, ""), " ": (32, " "),
        "ArrowLeft": (37, ""), "ArrowUp": (38, ""), "ArrowRight": (39, ""), "ArrowDown": (40, "")}  # fmt: skip


class Browser:
    """A running Chromium."""

    def __init__(self) -> None:
        assert CHROMIUM is not None
        self.folder = tempfile.mkdtemp(prefix="thalbids-chromium-")
        read_in, self._to = os.pipe()
        self._from, write_out = os.pipe()

        def pipes_as_3_and_4() -> None:  # where Chromium expects them
            copies = [fcntl.fcntl(fd, fcntl.F_DUPFD, 10) for fd in (read_in, write_out)]
            for target, copy in zip((3, 4), copies, strict=True):
                os.dup2(copy, target)

        command = [CHROMIUM, *FLAGS, f"--user-data-dir={self.folder}/profile", "about:blank"]
        self._process = subprocess.Popen(
            command, preexec_fn=pipes_as_3_and_4, close_fds=False,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(read_in)
        os.close(write_out)
        self._buffer, self._last = b"", 0
        self.events: list[dict[str, Any]] = []

    def open(self, target: Path | str, width: int = 1280, height: int = 900, scripts: bool = True) -> Page:
        """A new tab with this file (or address)."""
        made = self.call("Target.createTarget", {"url": "about:blank"})["targetId"]
        session = self.call("Target.attachToTarget", {"targetId": made, "flatten": True})["sessionId"]
        page = Page(self, session, made)
        for domain in ("Page", "Runtime", "Log", "Network"):
            page.call(f"{domain}.enable")
        offline = {"offline": True, "latency": 0, "downloadThroughput": 0, "uploadThroughput": 0}
        page.call("Network.emulateNetworkConditions", offline)
        if not scripts:
            page.call("Emulation.setScriptExecutionDisabled", {"value": True})
        page.resize(width, height)
        page.go(target)
        return page

    def call(
        self, method: str, params: dict[str, Any] | None = None, session: str | None = None, timeout: float = PATIENCE_S
    ) -> dict[str, Any]:
        """Send a command and wait for its answer; events that come before it are kept."""
        self._last += 1
        message = {"id": self._last, "method": method, "params": params or {}}
        if session:
            message["sessionId"] = session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        until = time.monotonic() + timeout
        while True:
            answer = self._read(until)
            if answer is None:
                raise TimeoutError(f"{method}: no answer in {timeout:.0f} s")
            if answer.get("id") == self._last:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']['message']}")
                return answer["result"]
            if "method" in answer:
                self.events.append(answer)

    def pump(self, seconds: float) -> None:
        """Take what the browser says for a while."""
        until = time.monotonic() + seconds
        while (message := self._read(until)) is not None:
            if "method" in message:
                self.events.append(message)

    def _read(self, until: float) -> dict[str, Any] | None:
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._from], [], [], max(0.0, until - time.monotonic()))
            if not ready:
                return None
            piece = os.read(self._from, 1 << 20)
            if not piece:
                raise RuntimeError("Chromium has ended")
            self._buffer += piece
        message, _, self._buffer = self._buffer.partition(b"\0")
        return json.loads(message)

    def close(self) -> None:
        try:
            self.call("Browser.close", timeout=5)
            self._process.wait(timeout=10)
        except (OSError, RuntimeError, TimeoutError, subprocess.TimeoutExpired):
            self._process.kill()
            self._process.wait()
        os.close(self._to)
        os.close(self._from)
        shutil.rmtree(self.folder, ignore_errors=True)


class Page:
    """A tab."""

    def __init__(self, browser: Browser, session: str, target: str) -> None:
        self.browser, self._session, self._target = browser, session, target

    def call(self, method: str, params: dict[str, Any] | None = None, timeout: float = PATIENCE_S) -> dict[str, Any]:
        return self.browser.call(method, params, self._session, timeout)

    def go(self, target: Path | str, timeout: float = PATIENCE_S) -> None:
        """Open a file or address and wait until it has loaded."""
        address = target.resolve().as_uri() if isinstance(target, Path) else target
        before = len(self._events("Page.loadEventFired"))
        self.call("Page.navigate", {"url": address})
        until = time.monotonic() + timeout
        while len(self._events("Page.loadEventFired")) == before:
            assert time.monotonic() < until, f"{address} did not load"
            self.browser.pump(0.05)

    def resize(self, width: int, height: int = 900) -> None:
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.call("Emulation.setDeviceMetricsOverride", metrics)

    def evaluate(self, expression: str, timeout: float = PATIENCE_S) -> Any:
        """The value of an expression (a promise is waited for), as JSON."""
        params = {"expression": expression, "awaitPromise": True, "returnByValue": True, "userGesture": True}
        answer = self.call("Runtime.evaluate", params, timeout)
        if "exceptionDetails" in answer:
            details = answer["exceptionDetails"]
            raise RuntimeError(details.get("exception", {}).get("description") or details["text"])
        return answer["result"].get("value")

    def wait(self, condition: str, timeout: float = PATIENCE_S) -> None:
        """Wait until an expression is true."""
        until = time.monotonic() + timeout
        while not self.evaluate(f"Boolean({condition})"):
            assert time.monotonic() < until, f"not within {timeout:.0f} s: {condition}; console: {self.errors}"
            self.browser.pump(0.1)

    def text(self, selector: str = "body") -> str:
        """What a reader sees of an element."""
        return self.evaluate(f"document.querySelector({json.dumps(selector)}).innerText")

    def click(self, selector: str) -> None:
        """A click of the mouse on the middle of an element."""
        x, y = self.evaluate(
            f"(() => {{ const e = document.querySelector({json.dumps(selector)});"
            "e.scrollIntoView({block: 'center'}); const r = e.getBoundingClientRect();"
            "return [r.x + r.width / 2, r.y + r.height / 2] })()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            params = {"type": kind, "x": x, "y": y, "button": "left", "clickCount": 1}
            self.call("Input.dispatchMouseEvent", params)

    def press(self, *keys: str) -> None:
        """Keys by their names (``Enter``, ``ArrowLeft``) or as single characters."""
        for key in keys:
            code, text = KEYS.get(key, (ord(key[0].upper()), key if len(key) == 1 else ""))
            common = {"key": key, "windowsVirtualKeyCode": code}
            self.call("Input.dispatchKeyEvent", {**common, "type": "keyDown", "text": text})
            self.call("Input.dispatchKeyEvent", {**common, "type": "keyUp"})

    def type(self, text: str) -> None:
        """Text into the element that has the focus."""
        self.call("Input.insertText", {"text": text})

    def download(self, selector: str, timeout: float = PATIENCE_S) -> str:
        """The text of the file that a click on this element saves."""
        folder = Path(tempfile.mkdtemp(dir=self.browser.folder))
        self.browser.call("Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(folder)})
        self.click(selector)
        until = time.monotonic() + timeout
        while time.monotonic() < until:
            found = [p for p in folder.iterdir() if not p.name.endswith(".crdownload")]
            if found:
                self.browser.pump(0.2)
                return found[0].read_text("utf-8")
            self.browser.pump(0.1)
        raise AssertionError(f"a click on {selector} saved nothing")

    def screenshot(self, path: Path, whole: bool = True, clip: tuple[float, ...] | None = None) -> Path:
        """A PNG of the page (``clip``: x, y, width, height in CSS pixels)."""
        params: dict[str, Any] = {"format": "png", "captureBeyondViewport": whole}
        if whole and clip is None:
            size = self.call("Page.getLayoutMetrics")["cssContentSize"]
            clip = (0, 0, size["width"], size["height"])
        if clip is not None:
            params["clip"] = dict(zip(("x", "y", "width", "height"), clip, strict=True), scale=1)
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", params)["data"]))
        return path

    @property
    def errors(self) -> list[str]:
        """Errors and exceptions on the console so far."""
        self.browser.pump(0.05)
        found = [
            e["params"]["exceptionDetails"].get("exception", {}).get("description", "exception")
            for e in self._events("Runtime.exceptionThrown")
        ]
        for event in self._events("Runtime.consoleAPICalled"):
            if event["params"]["type"] in ("error", "assert"):
                found.append(" ".join(str(a.get("value", a.get("description"))) for a in event["params"]["args"]))
        entries = [e["params"]["entry"] for e in self._events("Log.entryAdded")]
        return found + [f"{e['text']} {e.get('url', '')}" for e in entries if e["level"] == "error"]

    @property
    def requests(self) -> list[str]:
        """Addresses asked for so far."""
        self.browser.pump(0.05)
        return [e["params"]["request"]["url"] for e in self._events("Network.requestWillBeSent")]

    def quiet(self) -> None:
        """Assert that there was no error and that nothing but files and embedded data was asked for."""
        assert self.errors == []
        elsewhere = [url for url in self.requests if not url.startswith(("file:", "data:", "blob:"))]
        assert elsewhere == []

    def close(self) -> None:
        self.browser.call("Target.closeTarget", {"targetId": self._target})

    def _events(self, method: str) -> list[dict[str, Any]]:
        return [e for e in self.browser.events if e["method"] == method and e.get("sessionId") == self._session]


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """One Chromium for all tests; they are skipped where there is none."""
    if CHROMIUM is None:
        required.absent("chromium", NEEDED)
    made = Browser()
    yield made
    made.close()
