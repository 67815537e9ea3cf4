"""One modem, whoever made it. Every method asks the modem; what it says is checked for form before it is believed.

A PIN is entered at most once for a SIM and only with two or more attempts left, a PUK never: three wrong PINs lock the SIM. IMEI, IMSI and
ICCID are personal data: `redacted()` is what a log may say.
"""

import hashlib
import re
import time
from collections.abc import Callable, MutableSet
from dataclasses import dataclass

from skerry_core.errors import LocalError, PeerError

from . import registration, signal
from .channel import SIM_BUSY, Channel, Failed, NoAnswer, PortGone
from .dialects import STANDARD_TRIES, Dialect, of_model
from .lines import fields
from .registration import Registration
from .signal import Signal

_APN = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]{0,98}[A-Za-z0-9]|[A-Za-z0-9]\Z")
_PIN = re.compile(r"[0-9]{4,8}\Z")
_SIM_WORDS = {
    "READY": "ready", "SIM PIN": "PIN needed", "SIM PUK": "PUK needed", "NOT INSERTED": "no SIM", "NOT READY": "not ready",
    "PH-NET PIN": "locked to a network",
}  # fmt: skip
_SIM_CODES = {10: "no SIM", 11: "PIN needed", 12: "PUK needed", 13: "SIM failure", 15: "wrong SIM"}
_BUSY_TRIES = 10
_SLOW_S = 180.0  # what a change of the radio may take


@dataclass(frozen=True, slots=True)
class ModemIdentity:
    maker: str
    model: str
    firmware: str
    imei: str

    def redacted(self) -> str:
        return f"{self.maker} {self.model} {self.firmware}, IMEI {_hashed(self.imei)}"


@dataclass(frozen=True, slots=True)
class SimState:
    """`state`: ready, PIN needed, PUK needed, no SIM, not ready, locked to a network, SIM failure. `tries`: PIN attempts left, if known."""

    state: str
    iccid: str | None = None
    tries: int | None = None

    def redacted(self) -> str:
        left = "" if self.tries is None else f", {self.tries} PIN attempts left"
        return f"{self.state}{left}" + ("" if self.iccid is None else f", SIM {_hashed(self.iccid)}")


class Modem:
    """`sleep(seconds)` waits between tries at a SIM that is busy."""

    def __init__(self, channel: Channel, sleep: Callable[[float], None] = time.sleep) -> None:
        self.channel = channel
        self._sleep = sleep
        self.dialect: Dialect = of_model("")

    def setup(self) -> ModemIdentity:
        """Bring the port into the form the rest relies on, and learn who answers. NoAnswer, PortGone."""
        self.channel.synchronize()
        for command in ("ATE0", "ATV1", "AT+CMEE=1"):
            self.channel.command(command)
        for command in ("AT+CEREG=2", "AT+CGEREP=1,0"):  # not all have them
            self._optional(command)
        self.channel.restarted = False
        maker, model, firmware, imei = (self._bare(command) for command in ("AT+CGMI", "AT+CGMM", "AT+CGMR", "AT+CGSN"))
        self.dialect = of_model(model)
        if not re.fullmatch(r"[0-9]{14,17}", imei):
            raise PeerError(f"the modem's IMEI is {imei!r}: expected 15 digits")
        return ModemIdentity(maker, model, firmware, imei)

    # the SIM

    def sim(self) -> SimState:
        state = self._sim_word()
        iccid = self._iccid() if state not in ("no SIM", "SIM failure", "not ready") else None
        return SimState(state, iccid, self._tries() if state == "PIN needed" else None)

    def enter_pin(self, pin: str, tried: MutableSet[str]) -> SimState:
        """Enter the PIN if the SIM wants one. `tried` holds (hashes of) SIMs that have refused theirs, and must outlast this program.

        LocalError: no PIN, or it must not be tried (again). PeerError: the SIM refused it."""
        if not _PIN.match(pin):
            raise LocalError("a PIN has 4 to 8 digits")
        now = self.sim()
        if now.state != "PIN needed":
            return now
        mark = hashlib.sha256((now.iccid or "unknown").encode()).hexdigest()
        if mark in tried:
            raise LocalError("this SIM refused its PIN before; it is not tried again: correct the PIN, or unlock the SIM in a phone")
        if now.tries is None or now.tries < 2:
            left = "an unknown number of" if now.tries is None else str(now.tries)
            raise LocalError(f"the SIM has {left} PIN attempts left; the last ones are not used up: unlock it in a phone")
        tried.add(mark)  # before the attempt: a crash in between must not lead to a second
        try:
            self.channel.command(f'AT+CPIN="{pin}"', timeout=20)
        except Failed as error:
            remaining = self._tries()
            words = "fewer" if remaining is None else str(remaining)
            raise PeerError(f"the SIM refused the PIN ({_cme(error)}); {words} attempts are left") from None
        tried.discard(mark)
        return self.sim()

    def _sim_word(self) -> str:
        for attempt in range(_BUSY_TRIES):
            try:
                found = self.channel.command("AT+CPIN?", "+CPIN:")
                return _SIM_WORDS.get(found[0] if found else "", "not ready")
            except Failed as error:
                if error.code != SIM_BUSY:
                    return _SIM_CODES.get(error.code or 0, "no SIM" if "not inserted" in error.text.lower() else "not ready")
                if attempt + 1 < _BUSY_TRIES:
                    self._sleep(1.0)
        return "not ready"

    def _iccid(self) -> str | None:
        found = self._optional(*self.dialect.iccid)
        digits = (found[0] if found else "").strip('" ').rstrip("Ff")
        return digits if re.fullmatch(r"[0-9]{18,20}", digits) else None

    def _tries(self) -> int | None:
        for row in (self.dialect.pin_tries, STANDARD_TRIES):
            if row is not None:
                command, prefix, read = row
                found = read(self._optional(command, prefix) or [])
                if found is not None:
                    return found
        return None

    # the network

    def registration(self) -> Registration:
        found = []
        for command, prefix in registration.COMMANDS:
            lines = self._optional(command, prefix)
            parsed = registration.parse(lines[0]) if lines else None
            if parsed is not None:
                found.append(parsed)
                if parsed.usable:
                    break
        return registration.best(found)

    def operator(self) -> str | None:
        """MCC and MNC, five or six digits; None when there is no network."""
        self._optional("AT+COPS=3,2")
        found = self._optional("AT+COPS?", "+COPS:")
        values = fields(found[0]) if found else []
        return values[2] if len(values) > 2 and re.fullmatch(r"[0-9]{5,6}", values[2]) else None

    def signal(self) -> Signal:
        found = Signal()
        if self.dialect.signal is not None:
            command, prefix, read = self.dialect.signal
            found = read(self._optional(command, prefix) or [])
        for command, prefix, parse in (("AT+CESQ", "+CESQ:", signal.cesq), ("AT+CSQ", "+CSQ:", signal.csq)):
            lines = self._optional(command, prefix)
            if lines:
                found = found.merged(parse(lines[0]))
        return found

    def apn(self) -> str | None:
        """The access point name of the first context; None when none is set."""
        for line in self._optional("AT+CGDCONT?", "+CGDCONT:") or []:
            values = fields(line)
            if values[0] == "1" and len(values) > 2:
                return re.sub(r"\.mnc[0-9]{3}\.mcc[0-9]{3}\.gprs\Z", "", values[2], flags=re.I) or None
        return None

    def set_apn(self, name: str) -> bool:
        """Set it, for the next attachment, if it differs (the modem keeps it in flash); whether it did. LocalError: no APN."""
        if not _APN.fullmatch(name):
            raise LocalError(f"{name!r} is no APN: expected up to 100 letters, digits, dots and hyphens")
        if (self.apn() or "").lower() == name.lower():
            return False
        for attempt in range(5):
            try:
                self.channel.command(f'AT+CGDCONT=1,"IPV4V6","{name}"')
                break
            except Failed:  # just started modems refuse it for a moment
                if attempt == 4:
                    raise
                self._sleep(0.2)
        self.radio(False)
        self.radio(True)
        return True

    def radio(self, on: bool) -> None:
        self.channel.command(f"AT+CFUN={1 if on else 4}", timeout=_SLOW_S)

    def reset(self) -> float:
        """Start the modem anew; how long (s) its port may be away. The port may vanish before it answers."""
        try:
            self.channel.command(self.dialect.reset, timeout=10)
        except (NoAnswer, PortGone):
            pass
        return self.dialect.after_reset_s

    # inside

    def _bare(self, command: str) -> str:
        """The answer to a command that answers without a prefix, or with one all the same."""
        lines = self.channel.command(command) or self.channel.command(command, command.removeprefix("AT") + ":")
        return lines[0].strip('" ')[:64] if lines else ""

    def _optional(self, command: str, prefix: str = "") -> list[str] | None:
        """None: this modem does not have the command."""
        try:
            return self.channel.command(command, prefix)
        except Failed:
            return None


def _cme(error: Failed) -> str:
    return {16: "wrong PIN", 12: "PUK needed now"}.get(error.code or 0, error.text)


def _hashed(value: str) -> str:
    return "#" + hashlib.sha256(value.encode()).hexdigest()[:8]
