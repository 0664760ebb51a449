# SPDX-License-Identifier: Apache-2.0
"""A real Chromium without a window, driven by the DevTools protocol: no driver of its own, a hundred lines.

    with Browser() as browser:
        page = browser.page(width=390)
        page.open("http://127.0.0.1:8080/")
        page.wait("document.querySelector('.chip').textContent === 'live'")
        assert page.troubles() == []

Nothing sleeps for a guessed time: wait() asks until a condition holds. `CHROMIUM` names another program.
"""
import json
import os
import shutil
import subprocess
import tempfile
import time
import urllib.request

import websocket

from conftest import PATIENCE_S

CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
FLAGS = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync", "--disable-extensions", "--disable-default-apps", "--mute-audio",
         "--disable-dev-shm-usage", "--disable-renderer-backgrounding", "--disable-background-timer-throttling",
         "--disable-backgrounding-occluded-windows", "--remote-debugging-port=0", "--remote-allow-origins=*"]
# Sums up what moves without somebody's doing, from the first paint on.
SHIFTS = """
window.shifts = 0;
new PerformanceObserver((list) => { for (const entry of list.getEntries()) if (!entry.hadRecentInput) window.shifts += entry.value; })
  .observe({ type: 'layout-shift', buffered: true });
"""


class Browser:
    """One browser process with an empty profile; pages share nothing but it."""

    def __init__(self):
        self.profile = tempfile.mkdtemp(prefix="leat-chromium-")
        self.process = subprocess.Popen([CHROMIUM, *FLAGS, f"--user-data-dir={self.profile}", "about:blank"],
                                        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.pages = []
        port_file = f"{self.profile}/DevToolsActivePort"
        deadline = time.monotonic() + PATIENCE_S
        while True:
            if os.path.exists(port_file):
                with open(port_file, encoding="ascii") as file:
                    lines = file.read().split()
                if len(lines) == 2:
                    self.port = int(lines[0])
                    return
            assert self.process.poll() is None, f"{CHROMIUM} ended with {self.process.returncode}"
            assert time.monotonic() < deadline, f"{CHROMIUM} does not open its DevTools port"
            time.sleep(0.02)

    def page(self, width=1280, height=800, scheme="light", script=None, reduced=False):
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/json/new?about:blank", method="PUT")
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
            target = json.load(answer)
        page = Page(target["webSocketDebuggerUrl"])
        self.pages.append(page)
        for domain in ("Page", "Runtime", "Log", "Network"):
            page.send(f"{domain}.enable")
        page.send("Page.addScriptToEvaluateOnNewDocument", source=SHIFTS + (script or ""))
        page.send("Page.bringToFront")  # a page behind another one draws no frames
        page.size(width, height)
        page.send("Emulation.setEmulatedMedia", features=[
            {"name": "prefers-color-scheme", "value": scheme},
            {"name": "prefers-reduced-motion", "value": "reduce" if reduced else "no-preference"}])
        return page

    def close(self):
        for page in self.pages:
            page.close()
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.profile, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Page:
    def __init__(self, address):
        self.socket = websocket.create_connection(address, timeout=PATIENCE_S, max_size=None)
        self.number = 0
        self.said = []      # what went to the console, and exceptions
        self.streams = []   # addresses of event streams that were opened

    def close(self):
        if self.socket is not None:
            try:
                self.send("Page.close")
            except (OSError, AssertionError, websocket.WebSocketException):
                pass  # the browser was quicker
            self.socket.close()
            self.socket = None

    # ---- the protocol ------------------------------------------------------------------------------------------
    def send(self, method, **params):
        """Sends a command and reads until its answer; what comes in between is noted."""
        self.number += 1
        self.socket.send(json.dumps({"id": self.number, "method": method, "params": params}))
        while True:
            message = json.loads(self.socket.recv())
            if message.get("id") == self.number:
                assert "error" not in message, f"{method}: {message['error']}"
                return message["result"]
            self._note(message)

    def _note(self, message):
        method, params = message.get("method"), message.get("params", {})
        if method == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning", "assert"):
            self.said.append(" ".join(str(arg.get("value", arg.get("description"))) for arg in params["args"]))
        elif method == "Runtime.exceptionThrown":
            details = params["exceptionDetails"]
            self.said.append(details.get("exception", {}).get("description", details["text"]))
        elif method == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
            self.said.append(f"{params['entry']['text']} {params['entry'].get('url', '')}")
        elif method == "Network.requestWillBeSent" and params.get("type") == "EventSource":
            self.streams.append(params["request"]["url"])

    def run(self, code):
        """The value of a JavaScript expression; promises are waited for."""
        answer = self.send("Runtime.evaluate", expression=code, returnByValue=True, awaitPromise=True, userGesture=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"].get("exception", answer["exceptionDetails"])
        return answer["result"].get("value")

    # ---- what a test says --------------------------------------------------------------------------------------
    def size(self, width, height):
        self.send("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def open(self, url):
        self.said.clear()
        self.streams.clear()
        answer = self.send("Page.navigate", url=url)
        assert "errorText" not in answer, f"{url}: {answer['errorText']}"
        self.wait("document.readyState === 'complete' && location.href !== 'about:blank'")

    def wait(self, condition, timeout_s=PATIENCE_S):
        """Asks until the JavaScript condition holds."""
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                value = self.run(f"Boolean({condition})")
            except AssertionError as error:  # between two pages, or before an element is there
                value, last = None, error
            else:
                last = value
            if value:
                return
            assert time.monotonic() < deadline, f"{condition}: {last}\n{self.run('document.body?.innerText')}\n{self.said}"
            time.sleep(0.03)

    def text(self, selector):
        return self.run(f"document.querySelector({json.dumps(selector)})?.innerText")

    def key(self, key, ctrl=False, shift=False):
        codes = {"Tab": 9, "Enter": 13, "Escape": 27, " ": 32, "ArrowDown": 40, "ArrowUp": 38}
        text = {"Enter": "\r"}.get(key, key if len(key) == 1 else "")
        common = {"key": key, "windowsVirtualKeyCode": codes.get(key, ord(key.upper()[0])),
                  "modifiers": (2 if ctrl else 0) | (8 if shift else 0)}
        self.send("Input.dispatchKeyEvent", type="keyDown", text="" if ctrl else text, **common)
        self.send("Input.dispatchKeyEvent", type="keyUp", **common)

    def type(self, text):
        for character in text:
            self.key(character)

    def troubles(self):
        self.run("1")  # reads what has come until now
        return list(self.said)

    def shifts(self):
        """The sum of layout shifts, after two frames have been drawn."""
        self.send("Page.bringToFront")
        return self.run("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(window.shifts))))")
