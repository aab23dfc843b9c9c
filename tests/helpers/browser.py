"""A headless Chromium, controlled over the pipe of its DevTools protocol: JSON messages that end in a zero byte."""

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
# The protocol expects its pipe at descriptors 3 and 4.
LAUNCH = """
import fcntl, os, sys
high = [fcntl.fcntl(int(number), fcntl.F_DUPFD, 50) for number in sys.argv[1:3]]
os.dup2(high[0], 3), os.dup2(high[1], 4)
os.execv(sys.argv[3], sys.argv[3:])
"""
KEYS = {"Tab": 9, "Enter": 13, " ": 32, "ArrowDown": 40}


class Browser:
    """A browser with one page.

    Attributes:
        problems: console errors, exceptions, violations of the content security policy, and dialogs, in order.
        requests: URLs that the page has requested.
        loads: number of pages loaded.
    """

    def __init__(self):
        self.folder = tempfile.mkdtemp()
        (commands, self.commands), (self.answers, answers) = os.pipe(), os.pipe()
        self.process = subprocess.Popen(
            [sys.executable, "-S", "-c", LAUNCH, str(commands), str(answers), CHROMIUM, *SWITCHES,
             f"--user-data-dir={self.folder}"],
            pass_fds=(commands, answers),
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(commands), os.close(answers)
        self.ids, self.buffer = itertools.count(1), b""
        self.problems, self.requests, self.loads = [], [], 0
        self.session = None
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def close(self):
        self.process.kill()
        self.process.wait()
        os.close(self.commands), os.close(self.answers)
        shutil.rmtree(self.folder, ignore_errors=True)

    def call(self, method, **parameters):
        """Send a command and return its result; events that arrive before it are recorded."""
        number = next(self.ids)
        message = {"id": number, "method": method, "params": parameters}
        message |= {"sessionId": self.session} if self.session else {}
        self.send(message)
        while True:
            answer = self.receive()
            if answer.get("id") == number:
                assert "error" not in answer, (method, answer["error"])
                return answer["result"]

    def send(self, message):
        os.write(self.commands, json.dumps(message).encode() + b"\0")

    def receive(self, seconds=60):
        while b"\0" not in self.buffer:
            assert select.select([self.answers], [], [], seconds)[0], "the browser does not answer"
            content = os.read(self.answers, 2**20)
            assert content, "the browser has ended"
            self.buffer += content
        text, self.buffer = self.buffer.split(b"\0", 1)
        message = json.loads(text)
        self.record(message.get("method"), message.get("params", {}))
        return message

    def record(self, event, details):
        if event == "Page.loadEventFired":
            self.loads += 1
        elif event == "Network.requestWillBeSent":
            self.requests.append(details["request"]["url"])
        elif event == "Runtime.exceptionThrown":
            self.problems.append(details["exceptionDetails"])
        elif event == "Page.javascriptDialogOpening":
            self.problems.append(details["message"])
            accept = {"method": "Page.handleJavaScriptDialog", "params": {"accept": True}}
            self.send({"id": 0, "sessionId": self.session} | accept)
        elif event == "Log.entryAdded" and details["entry"]["level"] in ("error", "warning"):
            self.problems.append(details["entry"]["text"])
        elif event == "Runtime.consoleAPICalled" and details["type"] in ("error", "warning"):
            self.problems.append(details["args"])

    def open(self, path, state=""):
        """Open a page from disk and wait until it has loaded."""
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

    def evaluate(self, expression):
        """Value of a JavaScript expression in the page."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def press(self, key, times=1):
        """Press and release a key."""
        text = {"Enter": "\r", " ": " "}.get(key)
        for _ in range(times):
            down = {"type": "keyDown", "key": key, "windowsVirtualKeyCode": KEYS[key]} | (
                {"text": text} if text else {}
            )
            self.call("Input.dispatchKeyEvent", **down)
            self.call("Input.dispatchKeyEvent", type="keyUp", key=key, windowsVirtualKeyCode=KEYS[key])

    def emulate(self, width, theme="light", height=900):
        """Set the width of the screen in pixels, and a light or dark theme."""
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": theme}])

    def screenshot(self, path):
        """Write a PNG of the visible part of the page."""
        time.sleep(0.2)
        Path(path).write_bytes(base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"]))
