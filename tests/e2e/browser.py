"""A headless Chromium with a microphone that plays a file, in front of a lab host: Debian's, driven by Selenium.

It trusts the lab's own authority and nothing else that it would not trust anyway: certificates are really checked.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import wave
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service

HEARING_RATE = 16_000

# Before any script of a page runs: what WebRTC is told and sends would otherwise be the page's own secret.
WATCH = """
window.lab = { peers: [], pieces: [] };
const Peer = window.RTCPeerConnection;
window.RTCPeerConnection = class extends Peer {
  constructor(...given) {
    super(...given);
    lab.peers.push(this);
  }
};
"""

# From what the page itself plays; false while it plays nothing.
LISTEN = """
const audible = (audio) => audio.srcObject && !audio.paused && !audio.muted;
const playing = [...document.querySelectorAll("audio")].find(audible);
if (!playing) return false;
const context = new AudioContext({ sampleRate: arguments[0] });
const tap = context.createScriptProcessor(4096, 1, 1);
tap.onaudioprocess = ({ inputBuffer }) =>
  lab.pieces.push(Int16Array.from(inputBuffer.getChannelData(0), (sample) => sample * 32767));
context.createMediaStreamSource(playing.srcObject).connect(tap);
tap.connect(context.destination);
return true;
"""

HEARD = """
const bytes = new Uint8Array(await new Blob(lab.pieces).arrayBuffer());
let text = "";
for (let at = 0; at < bytes.length; at += 8192) text += String.fromCharCode(...bytes.subarray(at, at + 8192));
return btoa(text);
"""

ICE_SERVERS = """
return lab.peers.flatMap((peer) => peer.getConfiguration().iceServers.flatMap((server) => server.urls));
"""

# What the microphone sends: seconds of it so far, and the sum of its energy.
SENT = """
for (const peer of lab.peers) {
  for (const stats of (await peer.getStats()).values()) {
    if (stats.type === "media-source") return [stats.totalSamplesDuration, stats.totalAudioEnergy];
  }
}
return [0, 0];
"""


class Browser:
    """One Chromium, one tab."""

    def __init__(self, driver: Chrome) -> None:
        self.driver = driver
        self._requests: list[str] = []

    def open(self, address: str) -> None:
        """Load a page anew, also one that differs from the last in its fragment alone."""
        self.driver.get("about:blank")
        self.driver.get(address)

    def click(self, identifier: str) -> None:
        """As a person does it."""
        self.driver.find_element("id", identifier).click()

    def text(self, selector: str) -> str:
        """What an element shows."""
        return str(self.driver.find_element("css selector", selector).text)

    def leg(self, name: str) -> tuple[str, str]:
        """A leg's state and its words."""
        row = self.driver.find_element("css selector", f'[data-leg="{name}"]')
        return str(row.get_attribute("data-state")), str(row.find_element("tag name", "dd").text)

    def said(self, who: str) -> str:
        """Everything in the transcript of "you" or "assistant"."""
        phrases = self.driver.find_elements("css selector", f'#transcript [data-who="{who}"] p')
        return " ".join(str(phrase.text) for phrase in phrases)

    def listen(self) -> bool:
        """Keep what the page plays from now on; False while it plays nothing."""
        return bool(self.driver.execute_script(LISTEN, HEARING_RATE))

    def heard(self) -> bytes:
        """What was played since `listen`, 16 kHz mono s16le."""
        return base64.b64decode(self.driver.execute_script(HEARD))

    def sent(self) -> tuple[float, float]:
        """Seconds of microphone sent, and their energy."""
        seconds, energy = self.driver.execute_script(SENT)
        return float(seconds), float(energy)

    def ice_servers(self) -> list[str]:
        """Where WebRTC was told to ask for its address."""
        return list(self.driver.execute_script(ICE_SERVERS))

    def stored(self) -> list[Any]:
        """What the page left in this browser."""
        return list(
            self.driver.execute_script("return [...Object.keys(localStorage), ...Object.keys(sessionStorage)];")
        ) + list(self.driver.get_cookies())

    def requests(self) -> list[str]:
        """Every address that the pages asked for, sockets included; Chromium itself keeps this log."""
        for entry in _log(self.driver, "performance"):
            message = json.loads(entry["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                self._requests.append(message["params"]["request"]["url"])
            elif message["method"] == "Network.webSocketCreated":
                self._requests.append(message["params"]["url"])
        return self._requests

    def complaints(self) -> list[str]:
        """Errors and warnings of the console since this was last called; violations of the policy are among them."""
        entries = _log(self.driver, "browser")
        # A deprecation is that of LISTEN's tap.
        return [each["message"] for each in entries if each["level"] != "INFO" and each["source"] != "deprecation"]


@contextmanager
def chromium(domain: str, address: str, authority: str, microphone: Path | None, home: Path) -> Iterator[Browser]:
    """A browser for which `domain` is at `address` and `authority` (PEM) may sign.

    Args:
        domain: the name in the address bar.
        address: the host's.
        authority: the certificate of Caddy's own authority.
        microphone: a WAV file that is played again and again, or None: the person refuses the microphone.
        home: an empty directory for what Chromium keeps.
    """
    _trust(authority, home)
    options = ChromeOptions()
    options.binary_location = "/usr/bin/chromium"
    options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
    for flag in (
        "headless=new",
        "no-sandbox",  # the lab runs as root
        "disable-dev-shm-usage",
        "disable-gpu",
        "mute-audio",
        "window-size=1180,1000",
        f"user-data-dir={home / 'profile'}",
        f"host-resolver-rules=MAP {domain} {address}",
        "use-fake-device-for-media-stream",
        *(["use-fake-ui-for-media-stream", f"use-file-for-fake-audio-capture={microphone}"] if microphone else []),
        *([] if microphone else ["deny-permission-prompts"]),
    ):
        options.add_argument(f"--{flag}")
    # No driver is looked for or downloaded, and Selenium reports to nobody.
    environment = {**os.environ, "HOME": str(home), "SE_OFFLINE": "true", "SE_AVOID_STATS": "true"}
    driver = Chrome(options=options, service=Service("/usr/bin/chromedriver", env=environment))
    try:
        driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": WATCH})
        # Away from Chromium's own first page, whose requests are not the page's.
        driver.get("about:blank")
        _log(driver, "performance")
        yield Browser(driver)
        # As a closed tab does it: the page says good-bye, and the agent is free for the next call.
        driver.get("about:blank")
    finally:
        driver.quit()


def _log(driver: Chrome, name: str) -> list[dict[str, Any]]:
    """What was written to that log since this was last called."""
    return list(driver.get_log(name))  # type: ignore[no-untyped-call]


def _trust(authority: str, home: Path) -> None:
    """A certificate store with the lab's authority, where Chromium looks for the person's own ones."""
    store = home / ".pki" / "nssdb"
    store.mkdir(parents=True)
    database = ["-d", f"sql:{store}"]
    subprocess.run(["certutil", *database, "-N", "--empty-password"], check=True)
    add = ["certutil", *database, "-A", "-n", "lab", "-t", "C,,"]
    subprocess.run(add, input=authority, text=True, check=True)


def write_question(words: str, file: Path, *, before_s: float, after_s: float) -> None:
    """The words as espeak-ng says them, between so many seconds of silence, as 48 kHz mono."""
    spoken = file.with_suffix(".spoken.wav")
    subprocess.run(["espeak-ng", "-v", "en-us", "-s", "150", "-w", str(spoken), words], check=True)
    with wave.open(str(spoken)) as source, wave.open(str(file), "wb") as sound:
        rate = source.getframerate()
        silence = [bytes(2 * round(rate * seconds)) for seconds in (before_s, after_s)]
        sound.setparams(source.getparams())
        sound.writeframes(silence[0] + source.readframes(source.getnframes()) + silence[1])
