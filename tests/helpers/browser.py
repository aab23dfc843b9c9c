"""A headless Chromium, driven over the pipe of its DevTools protocol: JSON messages that end in a zero byte."""

import base64
import itertools
import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
SWITCHES = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run",
    "--disable-component-update", "--disable-sync", "--remote-debugging-pipe", "--disable-dev-shm-usage",
)  # fmt: skip
# The protocol wants its pipe as descriptors 3 and 4; a shell may not know those beyond 9.
LAUNCH = """
import fcntl, os, sys
high = [fcntl.fcntl(int(one), fcntl.F_DUPFD, 50) for one in sys.argv[1:3]]
os.dup2(high[0], 3), os.dup2(high[1], 4)
os.execv(sys.argv[3], sys.argv[3:])
"""
KEYS = {"Tab": 9, "Enter": 13, " ": 32, "ArrowDown": 40}


class Browser:
    """One page. problems: console errors, exceptions, refusals by the page's policy, dialogs, in order."""

    def __init__(self):
        self.folder = tempfile.mkdtemp()
        (commands, self.to), (self.back, answers) = os.pipe(), os.pipe()
        self.process = subprocess.Popen(
            [sys.executable, "-S", "-c", LAUNCH, str(commands), str(answers), CHROMIUM, *SWITCHES,
             f"--user-data-dir={self.folder}"],
            pass_fds=(commands, answers),
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(commands), os.close(answers)
        self.ids, self.rest, self.problems, self.requests, self.loads = itertools.count(1), b"", [], [], 0
        self.session = None
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def close(self):
        self.process.kill()
        self.process.wait()
        os.close(self.to), os.close(self.back)
        shutil.rmtree(self.folder, ignore_errors=True)

    def call(self, method, **parameters):
        """The result of one command; events that come before it are noted."""
        number = next(self.ids)
        message = {"id": number, "method": method, "params": parameters}
        message |= {"sessionId": self.session} if self.session else {}
        os.write(self.to, json.dumps(message).encode() + b"\0")
        while True:
            found = self.receive()
            if found.get("id") == number:
                assert "error" not in found, (method, found["error"])
                return found["result"]

    def receive(self, seconds=60):
        while b"\0" not in self.rest:
            assert select.select([self.back], [], [], seconds)[0], "the browser does not answer"
            more = os.read(self.back, 2**20)
            assert more, "the browser has ended"
            self.rest += more
        text, self.rest = self.rest.split(b"\0", 1)
        found = json.loads(text)
        self.note(found.get("method"), found.get("params", {}))
        return found

    def note(self, event, what):
        if event == "Page.loadEventFired":
            self.loads += 1
        elif event == "Network.requestWillBeSent":
            self.requests.append(what["request"]["url"])
        elif event == "Runtime.exceptionThrown":
            self.problems.append(what["exceptionDetails"])
        elif event == "Page.javascriptDialogOpening":
            self.problems.append(what["message"])
            os.write(self.to, json.dumps({"id": 0, "method": "Page.handleJavaScriptDialog", "params": {"accept": True},
                                          "sessionId": self.session}).encode() + b"\0")  # fmt: skip
        elif event == "Log.entryAdded" and what["entry"]["level"] in ("error", "warning"):
            self.problems.append(what["entry"]["text"])
        elif event == "Runtime.consoleAPICalled" and what["type"] in ("error", "warning"):
            self.problems.append(what["args"])

    def open(self, path, state=""):
        """Open a page from the disk, and wait until it has loaded."""
        before = self.loads
        url = Path(path).as_uri() + state
        self.call("Page.navigate", url="about:blank")
        while self.loads == before:
            self.receive()
        before = self.loads
        assert "errorText" not in self.call("Page.navigate", url=url)
        while self.loads == before:
            self.receive()
        return self

    def ask(self, expression):
        """The value of an expression in the page."""
        found = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def press(self, key, times=1):
        """Press and release a key, as a person does."""
        text = {"Enter": "\r", " ": " "}.get(key)
        for _ in range(times):
            down = {"type": "keyDown", "key": key, "windowsVirtualKeyCode": KEYS[key]} | (
                {"text": text} if text else {}
            )
            self.call("Input.dispatchKeyEvent", **down)
            self.call("Input.dispatchKeyEvent", type="keyUp", key=key, windowsVirtualKeyCode=KEYS[key])

    def look(self, width, theme="light", height=900):
        """As a screen of this width, in a light or dark theme."""
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": theme}])

    def screenshot(self, path):
        """Write a PNG of what is seen."""
        time.sleep(0.2)
        Path(path).write_bytes(base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"]))
