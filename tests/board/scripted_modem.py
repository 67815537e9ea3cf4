"""A modem on a pseudo-terminal that answers from a table: what pyserial opens, with the faults of real ones.

`answers` maps a command to lines, or to a function of this modem that gives them; a last line "" means that no final line follows. `mangle`
changes the bytes that go out (splits, line ends, garbage). One thread serves the terminal until close().
"""

import os
import pty
import select
import threading
import tty
from collections.abc import Callable, Iterable

BASE = {
    "AT": ["OK"], "ATE0": ["OK"], "ATV1": ["OK"], "AT+CMEE=1": ["OK"], "AT+CEREG=2": ["OK"], "AT+CGEREP=1,0": ["ERROR"],
    "AT+CPIN?": ["+CPIN: READY", "OK"], "AT+CEREG?": ['+CEREG: 2,1,"1A2B","01C3D4E5",7', "OK"], "AT+C5GREG?": ["ERROR"],
    "AT+CGREG?": ["+CGREG: 0,0", "OK"], "AT+COPS=3,2": ["OK"], "AT+COPS?": ['+COPS: 0,2,"26201",7', "OK"], "AT+CSQ": ["+CSQ: 20,99", "OK"],
    "AT+CESQ": ["+CESQ: 99,99,255,255,22,50", "OK"], "AT+CFUN=4": ["OK"], "AT+CFUN=1": ["OK"],
    "AT+CGDCONT?": ['+CGDCONT: 1,"IP","internet","0.0.0.0",0,0', "OK"],
}  # fmt: skip
SIM7600 = {
    **BASE, "AT+CGMI": ["SIMCOM INCORPORATED", "OK"], "AT+CGMM": ["SIMCOM_SIM7600G-H", "OK"], "AT+CGMR": ["+CGMR: LE20B04SIM7600G22", "OK"],
    "AT+CGSN": ["868822040000001", "OK"], "AT+CICCID": ["+ICCID: 8949020000012345678F", "OK"], "AT+SPIC": ["+SPIC: 3,10,3,10", "OK"],
    "AT+CPSI?": ["+CPSI: LTE,Online,262-01,0x1A2B,29613285,310,EUTRAN-BAND3,1300,5,5,-94,-850,-545,15", "OK"],
}  # fmt: skip
EC25 = {
    **BASE, "AT+CGMI": ["Quectel", "OK"], "AT+CGMM": ["EC25", "OK"], "AT+CGMR": ["EC25EFAR06A06M4G", "OK"],
    "AT+CGSN": ["866758040000002", "OK"],
    "AT+QCCID": ["+QCCID: 89490200001234567890", "OK"], "AT+QPINC?": ['+QPINC: "SC",3,10', '+QPINC: "P2",3,10', "OK"],
    'AT+QENG="servingcell"': ['+QENG: "servingcell","NOCONN","LTE","FDD",262,01,1C3D4E5,310,1300,3,5,5,1A2B,-93,-9,-66,15,38', "OK"],
}  # fmt: skip

Answer = Iterable[str] | Callable[["ScriptedModem"], Iterable[str]]


def plain(lines: Iterable[str]) -> list[bytes]:
    """Each line as modems send it."""
    return [b"\r\n" + line.encode() + b"\r\n" for line in lines]


class ScriptedModem:
    def __init__(self, answers: dict[str, Answer], mangle: Callable[[list[bytes]], list[bytes]] = lambda parts: parts) -> None:
        self.answers = dict(answers)
        self.mangle = mangle
        self.asked: list[str] = []
        self.echo = True
        self._master, slave = pty.openpty()
        tty.setraw(slave)
        self.path = os.ttyname(slave)
        self._slave = slave  # held, so that the terminal stays between two openers
        self._end, self._stop = os.pipe()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def __enter__(self) -> "ScriptedModem":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def say(self, *lines: str) -> None:
        """What nobody asked for."""
        self.send(plain(lines))

    def send(self, parts: list[bytes]) -> None:
        for part in self.mangle(parts):
            os.write(self._master, part)

    def vanish(self) -> None:
        """The port goes away, as with a reset."""
        self.close()

    def close(self) -> None:
        if self._thread.is_alive():
            os.write(self._stop, b".")
            if threading.current_thread() is not self._thread:
                self._thread.join(10)
        for name in ("_slave", "_end", "_stop"):
            if getattr(self, name) >= 0 and threading.current_thread() is not self._thread:
                os.close(getattr(self, name))
                setattr(self, name, -1)

    def _serve(self) -> None:
        waiting = b""
        try:
            while True:
                ready, _, _ = select.select([self._master, self._end], [], [])
                if self._end in ready:
                    return
                waiting += os.read(self._master, 4096)
                *commands, waiting = waiting.split(b"\r")
                for command in commands:
                    self._answer(command.decode(errors="replace").strip("\x1b\n "))
        finally:
            os.close(self._master)

    def _answer(self, command: str) -> None:
        if not command:
            return
        self.asked.append(command)
        if self.echo:
            self.send([command.encode() + b"\r"])
        if command == "ATE0":
            self.echo = False
        answer = self.answers.get(command, ["ERROR"])
        lines = list(answer(self) if callable(answer) else answer)
        self.send(plain(line for line in lines if line))
