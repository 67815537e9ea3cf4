"""Debian's Chromium, driven by WebDriver (W3C) over HTTP: the few commands the tests need, and Chromium's own for sizes and themes."""

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
from pathlib import Path
from typing import Any

ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
PHONE, DESKTOP = (390, 844), (1280, 800)
SECONDS = 40  # for anything a page does on a loaded machine


class WebDriverError(Exception):
    """The browser refused a command: `kind` is WebDriver's error code."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(f"{kind}: {message}")
        self.kind = kind


class Element:
    """Something on a page."""

    def __init__(self, browser: "Browser", name: str) -> None:
        self.browser, self.name = browser, name

    def _do(self, verb: str, **fields: Any) -> Any:
        return self.browser.ask("POST", f"/element/{self.name}/{verb}", fields)

    def click(self) -> None:
        self._do("click")

    def type(self, text: str) -> None:
        self._do("clear")
        self._do("value", text=text)

    @property
    def text(self) -> str:
        return str(self.browser.ask("GET", f"/element/{self.name}/text"))

    def attribute(self, name: str) -> str:
        return str(self.browser.ask("GET", f"/element/{self.name}/attribute/{name}") or "")


class Browser:
    """One Chromium, one window. `close()` ends both processes."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="skerry-chromium-"))
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        environment = {**os.environ, "HOME": str(self.folder), "XDG_RUNTIME_DIR": str(self.folder)}
        with open(self.folder / "driver.log", "wb") as log:
            self.driver = subprocess.Popen(["chromedriver", f"--port={port}"], stdout=log, stderr=log, env=environment)
        self.session = ""
        try:
            self._begin()
        except BaseException:
            self.close()
            raise

    def _begin(self) -> None:
        end = time.monotonic() + SECONDS
        while not self._ready():
            if time.monotonic() > end:
                raise TimeoutError(f"chromedriver: {(self.folder / 'driver.log').read_text()}")
            time.sleep(0.05)
        arguments = ["--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--no-first-run", "--lang=en"]
        arguments += [f"--user-data-dir={self.folder / 'profile'}", "--disable-background-networking", "--hide-scrollbars"]
        options = {"args": arguments, "binary": shutil.which("chromium")}
        wanted = {"browserName": "chrome", "goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
        made = self._http("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})
        self.session = made["sessionId"]
        self.size(*DESKTOP)

    def _ready(self) -> bool:
        try:
            return bool(self._http("GET", "/status")["ready"])
        except OSError:
            return False

    def _http(self, method: str, path: str, document: Any = None) -> Any:
        data = None if document is None else json.dumps(document).encode()
        request = urllib.request.Request(self.url + path, data, {"Content-Type": "application/json"}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=90) as answer:
                return json.loads(answer.read())["value"]
        except urllib.error.HTTPError as error:
            value = json.loads(error.read())["value"]
            raise WebDriverError(value["error"], value["message"]) from None

    def ask(self, method: str, path: str, document: Any = None) -> Any:
        """A command of this session."""
        return self._http(method, f"/session/{self.session}{path}", document if method == "POST" else None)

    def chromium(self, command: str, **parameters: Any) -> Any:
        """A command of the DevTools protocol."""
        return self.ask("POST", "/goog/cdp/execute", {"cmd": command, "params": parameters})

    def size(self, width: int, height: int, theme: str = "light") -> None:
        """The window's size in CSS pixels, a phone's when it is narrow, and the theme that the visitor prefers."""
        narrow = width < 600
        self.chromium("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=2 if narrow else 1, mobile=narrow)
        self.chromium("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": theme}])

    def script(self, allowed: bool) -> None:
        """Whether pages get their script, from the next page on. (To forbid all script would forbid WebDriver's, too.)"""
        self.chromium("Network.enable")
        self.chromium("Network.setBlockedURLs", urls=[] if allowed else ["*.js"])

    def open(self, url: str) -> None:
        self.ask("POST", "/url", {"url": url})

    def back(self) -> None:
        self.ask("POST", "/back", {})

    @property
    def address(self) -> str:
        return str(self.ask("GET", "/url"))

    def all(self, selector: str) -> list[Element]:
        found = self.ask("POST", "/elements", {"using": "css selector", "value": selector})
        return [Element(self, each[ELEMENT]) for each in found]

    def one(self, selector: str) -> Element:
        """The first such element, waited for."""
        found: list[Element] = self.until(lambda: self.all(selector), f"an element {selector}")
        return found[0]

    def fill(self, **fields: str) -> None:
        for name, value in fields.items():
            self.one(f"[name={name}]").type(value)

    def press(self, words: str) -> None:
        """The button or link with these words."""
        xpath = f"//*[self::button or self::a][normalize-space()={json.dumps(words)}]"
        found = self.until(lambda: self.ask("POST", "/elements", {"using": "xpath", "value": xpath}), f"a button {words}")
        Element(self, found[0][ELEMENT]).click()

    @property
    def text(self) -> str:
        """What the page says."""
        return str(self.until(lambda: self.one("body").text, "a page"))

    def says(self, words: str, seconds: float = SECONDS) -> str:
        """Wait until the page has these words."""

        def said() -> str:
            text = self.text
            return text if words in text else ""

        return str(self.until(said, f"the words {words!r}", seconds))

    def until(self, condition: Any, what: str, seconds: float = SECONDS) -> Any:
        end = time.monotonic() + seconds
        while True:
            try:
                if value := condition():
                    return value
            except WebDriverError as error:
                if error.kind not in {"stale element reference", "no such element", "unknown error", "element not interactable"}:
                    raise
            if time.monotonic() > end:
                raise TimeoutError(f"not within {seconds} s: {what}\n{self.address}\n{self.ask('GET', '/source')[:6000]}")
            time.sleep(0.1)

    def run(self, script: str, *arguments: Any) -> Any:
        """JavaScript's answer."""
        return self.ask("POST", "/execute/sync", {"script": script, "args": list(arguments)})

    def complaints(self) -> list[str]:
        """What the console had to say since the last call: blocked by the policy, script errors."""
        said = [entry["message"] for entry in self.ask("POST", "/se/log", {"type": "browser"})]
        expected = ("ERR_BLOCKED", "Cross-Origin-Opener-Policy", "status of 40")  # of no effect without TLS; pages that refuse
        return [text for text in said if not any(words in text for words in expected)]

    def picture(self, path: Path) -> None:
        """What is in the window, as PNG."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(base64.b64decode(self.ask("GET", "/screenshot")))

    def forget(self) -> None:
        """As a browser that was never here."""
        self.chromium("Network.clearBrowserCookies")

    def close(self) -> None:
        if self.session:
            try:
                self._http("DELETE", f"/session/{self.session}")
            except (OSError, WebDriverError):
                pass
        self.driver.terminate()
        try:
            self.driver.wait(5)
        except subprocess.TimeoutExpired:
            self.driver.kill()
            self.driver.wait()
        shutil.rmtree(self.folder, ignore_errors=True)
