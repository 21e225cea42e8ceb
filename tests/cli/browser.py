"""Headless Chromium through chromedriver's WebDriver protocol: nothing but the standard library.

A page can be driven, asked and photographed. Every request has a time limit, and what was
started is ended, whatever a test does.
"""

import base64
import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")

FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync",
         "--disable-dev-shm-usage", "--hide-scrollbars", "--window-size=1500,900"]

ELEMENT = "element-6066-11e4-a52e-4f735466cecf"  # the protocol's name for a reference


def why_not():
    """Why there is no browser here, or None."""
    if not CHROMIUM:
        return "no chromium (Debian: apt-get install chromium)"
    if not DRIVER:
        return "no chromedriver (Debian: apt-get install chromium-driver)"
    return None


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Browser:
    def __enter__(self):
        self.folder = tempfile.mkdtemp(prefix="cprof-browser-")
        self.base = f"http://127.0.0.1:{free_port()}"
        # Proxies are for the outside world, not for our own driver.
        self.opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        self.driver = subprocess.Popen([DRIVER, f"--port={self.base.rsplit(':', 1)[1]}"],
                                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                       env={**os.environ, "HOME": self.folder, "TZ": "UTC"})
        try:
            self._open_session()
        except Exception:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        try:
            if hasattr(self, "session"):
                self._ask("DELETE", "")
        except (OSError, RuntimeError):
            pass
        self.driver.terminate()
        try:
            self.driver.wait(10)
        except subprocess.TimeoutExpired:
            self.driver.kill()
            self.driver.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _open_session(self):
        deadline = time.monotonic() + 30
        options = {"binary": CHROMIUM, "args": FLAGS + [f"--user-data-dir={self.folder}/profile"]}
        wanted = {"capabilities": {"alwaysMatch": {
            "browserName": "chrome", "goog:chromeOptions": options,
            "goog:loggingPrefs": {"browser": "ALL"}, "unhandledPromptBehavior": "ignore"}}}
        while True:
            try:
                self.session = self._call("POST", "/session", wanted)["sessionId"]
                return
            except (ConnectionError, urllib.error.URLError):
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)

    def _call(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.base + path, data, method=method,
                                         headers={"Content-Type": "application/json"})
        try:
            with self.opener.open(request, timeout=120) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            raise RuntimeError(error.read().decode(errors="replace")[:500]) from None

    def _ask(self, method, path, body=None):
        return self._call(method, f"/session/{self.session}{path}", body)

    def open(self, path, timeout=60):
        """Opens a file and waits until its page is ready."""
        self.go("about:blank")  # another # alone would load nothing
        self.go("file://" + os.path.abspath(path))
        deadline = time.monotonic() + timeout
        while self.run("return document.body.dataset.ready") != "true":
            if time.monotonic() > deadline:
                raise TimeoutError(f"not ready: {self.text('summary')}; {self.log()}")
            time.sleep(0.02)
        self.settle()

    def go(self, url):
        """Goes to an address, whether its page is one of ours or not."""
        self._ask("POST", "/url", {"url": url})

    def back(self):
        self._ask("POST", "/back", {})
        self.settle()

    def run(self, script, *arguments):
        return self._ask("POST", "/execute/sync", {"script": script, "args": list(arguments)})

    def run_async(self, script):
        """Runs a script that ends by calling its first argument with the result."""
        return self._ask("POST", "/execute/async", {"script": script, "args": []})

    def settle(self):
        """Waits for animations and for what has been asked to be drawn."""
        self.run_async("""
            const done = arguments[0];
            setTimeout(() => requestAnimationFrame(() => requestAnimationFrame(() => done())), 220);
        """)

    def text(self, element_id):
        return self.run("return document.getElementById(arguments[0]).textContent", element_id)

    def click(self, element_id):
        self.run("document.getElementById(arguments[0]).click()", element_id)
        self.settle()

    def type(self, element_id, text):
        """As if typed into an empty field."""
        self.run("""const field = document.getElementById(arguments[0]);
                    field.value = arguments[1];
                    field.dispatchEvent(new Event('input', {bubbles: true}));""", element_id, text)
        self.settle()

    def keys(self, *keys):
        """Presses keys, one after the other, in whatever has the focus."""
        actions = [{"type": kind, "value": key} for key in keys for kind in ("keyDown", "keyUp")]
        self._ask("POST", "/actions", {"actions": [{"type": "key", "id": "keys", "actions": actions}]})
        self.settle()

    def pointer(self, x, y, press=False):
        """Moves the mouse there, and clicks."""
        actions = [{"type": "pointerMove", "duration": 0, "x": round(x), "y": round(y), "origin": "viewport"}]
        if press:
            actions += [{"type": "pointerDown", "button": 0}, {"type": "pointerUp", "button": 0}]
        self._ask("POST", "/actions", {"actions": [{"type": "pointer", "id": "mouse", "actions": actions}]})
        self.settle()

    def chord(self, held, key):
        """Presses a key while another is held."""
        actions = [{"type": "keyDown", "value": held}, {"type": "keyDown", "value": key},
                   {"type": "keyUp", "value": key}, {"type": "keyUp", "value": held}]
        self._ask("POST", "/actions", {"actions": [{"type": "key", "id": "keys", "actions": actions}]})
        self.settle()

    def drag(self, x, y, to_x, to_y):
        """Presses the mouse at one place, and lets it go at another."""
        def move(x, y):
            return {"type": "pointerMove", "duration": 30, "x": round(x), "y": round(y), "origin": "viewport"}

        actions = [move(x, y), {"type": "pointerDown", "button": 0}, move((x + to_x) / 2, y), move(to_x, to_y),
                   {"type": "pause", "duration": 100}, {"type": "pointerUp", "button": 0}]
        self._ask("POST", "/actions", {"actions": [{"type": "pointer", "id": "mouse", "actions": actions}]})
        self.settle()

    def devtools(self, command, **parameters):
        """A command of the DevTools protocol, and its answer."""
        return self._ask("POST", "/goog/cdp/execute", {"cmd": command, "params": parameters})

    def allow_clipboard(self):
        """Lets pages write to the clipboard and read it, as a person's browser does who clicks there."""
        self.devtools("Browser.grantPermissions",
                      permissions=["clipboardReadWrite", "clipboardSanitizedWrite"])

    def wheel(self, x, y, by):
        """Turns the wheel there while Ctrl is held."""
        keys = [{"type": "keyDown", "value": "\ue009"}, {"type": "pause"}, {"type": "keyUp", "value": "\ue009"}]
        wheel = [{"type": "pause"}, {"type": "scroll", "x": round(x), "y": round(y), "deltaX": 0, "deltaY": by,
                                     "duration": 0, "origin": "viewport"}, {"type": "pause"}]
        self._ask("POST", "/actions", {"actions": [{"type": "key", "id": "keys", "actions": keys},
                                                   {"type": "wheel", "id": "wheel", "actions": wheel}]})
        self.settle()

    def alert(self):
        """The text of an open alert, or None."""
        try:
            return self._ask("GET", "/alert/text")
        except RuntimeError:
            return None

    def log(self):
        """What the page wrote to its console."""
        return self._ask("POST", "/se/log", {"type": "browser"})

    def resize(self, width, height):
        self._ask("POST", "/window/rect", {"width": width, "height": height})
        self.settle()

    def screenshot(self, path):
        with open(path, "wb") as file:
            file.write(base64.b64decode(self._ask("GET", "/screenshot")))
