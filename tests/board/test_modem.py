"""The modem driver against a scripted modem on a pseudo-terminal, opened with pyserial: both families, and the faults of real ones."""

import random
import threading
import time

import pytest

from skerry_board.modem import Channel, Failed, Modem, NoAnswer, PortGone, open_port, search
from skerry_board.modem.lines import Lines, fields, is_quoted
from skerry_board.modem.registration import parse
from skerry_board.modem.signal import cesq, cpsi, csq, qeng
from skerry_core.errors import LocalError, PeerError
from tests.board.scripted_modem import EC25, SIM7600, ScriptedModem

BOTH = pytest.mark.parametrize("answers", [SIM7600, EC25], ids=["SIM7600", "EC25"])


def ready(scripted):
    modem = Modem(Channel(open_port(scripted.path)), sleep=lambda seconds: None)
    modem.identity = modem.setup()
    return modem


@BOTH
def test_a_modem_says_who_it_is_and_how_it_stands(answers):
    with ScriptedModem(answers) as scripted:
        modem = ready(scripted)
        assert modem.identity.imei.startswith("86") and modem.dialect.name in ("SIM7600", "EC25")
        assert modem.identity.imei not in modem.identity.redacted()
        assert modem.sim().state == "ready" and modem.sim().iccid.startswith("8949") and "8949" not in modem.sim().redacted()
        found = modem.registration()
        assert (found.status, found.usable, found.technology, found.area, found.cell) == ("home", True, "LTE", "1A2B", "01C3D4E5")
        assert modem.operator() == "26201" and modem.apn() == "internet"
        heard = modem.signal()
        assert heard.technology == "LTE" and -100 < heard.rsrp < -80 and -20 < heard.rsrq < -3 and heard.sinr == 15 and heard.bars >= 3


# the port's faults


def split(parts):
    return [bytes([byte]) for part in parts for byte in part]


FAULTS = {
    "a byte at a time": split,
    "CR CR LF": lambda parts: [part.replace(b"\r\n", b"\r\r\n") for part in parts],
    "NULs and garbage before": lambda parts: [b"\0\0\xff\xfe", *parts],
    "all in one read": lambda parts: [b"".join(parts)],
    "an event in the middle": lambda parts: [parts[0], b'\r\n+CEREG: 5,"FFFF","0",7\r\n', *parts[1:]],
    "an event glued to the end": lambda parts: [*parts[:-1], parts[-1] + b"\r\n+CTZV: +08\r\n"],
    "line feeds alone": lambda parts: [part.replace(b"\r\n", b"\n") for part in parts],
}


@pytest.mark.parametrize("fault", FAULTS)
@BOTH
def test_answers_are_understood_however_they_come(answers, fault):
    with ScriptedModem(answers, FAULTS[fault]) as scripted:
        modem = ready(scripted)
        assert modem.sim().iccid and modem.registration().area == "1A2B" and modem.apn() == "internet"


def test_a_late_answer_is_not_taken_for_the_next():
    with ScriptedModem(EC25) as scripted:
        modem = ready(scripted)

        def late(modem_):
            threading.Event().wait(0.4)  # a modem answers in order
            return ["+LATE: 1", "ERROR"]

        scripted.answers["AT+LATE?"] = late
        with pytest.raises(NoAnswer, match=r"did not answer AT\+LATE\? within 0.2 s"):
            modem.channel.command("AT+LATE?", "+LATE:", timeout=0.2)
        assert modem.registration().usable and modem.operator() == "26201"


def test_a_port_that_takes_no_commands():
    with ScriptedModem({"AT": []}) as scripted, pytest.raises(NoAnswer, match="does not answer AT"):
        ready(scripted)


def test_a_port_that_vanishes_and_one_that_is_not_there():
    with ScriptedModem(EC25) as scripted:
        modem = ready(scripted)
        scripted.answers["AT+CFUN=1,1"] = lambda modem_: (threading.Thread(target=modem_.vanish).start(), [])[1]
        assert modem.reset() == 60
        with pytest.raises(PortGone):
            for _ in range(50):
                modem.channel.listen(0.1)
    with pytest.raises(LocalError, match="cannot open"):
        open_port(scripted.path + "-gone")


def test_two_programs_do_not_share_a_port():
    with ScriptedModem(EC25) as scripted:
        held = open_port(scripted.path)
        with pytest.raises(LocalError, match="cannot open"):
            open_port(scripted.path)
        held.close()


def test_a_restart_in_the_middle_is_noticed():
    with ScriptedModem(EC25) as scripted:
        modem = ready(scripted)
        scripted.say("RDY")
        modem.channel.listen(0.3)
        assert modem.channel.restarted
        modem.setup()
        assert not modem.channel.restarted


def test_no_command_can_carry_another():
    with ScriptedModem(EC25) as scripted:
        modem = ready(scripted)
        before = list(scripted.asked)
        for text in ("AT\rATD112;", "AT\n", "ATé"):
            with pytest.raises(LocalError, match="no command"):
                modem.channel.command(text)
        for name in ('a"b', "a,b", "", "x" * 101, "-a", "a\rb"):
            with pytest.raises(LocalError, match="no APN"):
                modem.set_apn(name)
        assert scripted.asked == before


def test_endless_answers_are_bounded():
    with ScriptedModem({**EC25, "AT+FLOOD": ["x"] * 2000 + ["OK"]}) as scripted:
        modem = ready(scripted)
        with pytest.raises(PeerError, match="more than 500 lines"):
            modem.channel.command("AT+FLOOD")


# the SIM


@pytest.mark.parametrize(
    ("answer", "state"),
    [
        (["+CPIN: SIM PUK", "OK"], "PUK needed"),
        (["+CPIN: NOT INSERTED", "OK"], "no SIM"),
        (["+CME ERROR: 10"], "no SIM"),
        (["+CME ERROR: SIM not inserted"], "no SIM"),
        (["+CME ERROR: 13"], "SIM failure"),
        (["ERROR"], "not ready"),
        (["+CPIN: PH-NET PIN", "OK"], "locked to a network"),
    ],
)
def test_states_of_the_sim(answer, state):
    with ScriptedModem({**EC25, "AT+CPIN?": answer}) as scripted:
        assert ready(scripted).sim().state == state


def test_a_busy_sim_is_asked_again():
    busy = iter([["+CME ERROR: 14"]] * 8)
    with ScriptedModem({**EC25, "AT+CPIN?": lambda modem: next(busy, ["+CPIN: READY", "OK"])}) as scripted:
        assert ready(scripted).sim().state == "ready"


class LockedSim:
    """Wants a PIN; three attempts."""

    def __init__(self, pin, tries=3):
        self.pin, self.tries, self.open = pin, tries, False

    def answers(self):
        tried = {f'AT+CPIN="{pin}"': self.attempt(pin) for pin in ("1234", "9999")}
        return {"AT+CPIN?": self.state, "AT+QPINC?": lambda modem: [f'+QPINC: "SC",{self.tries},10', "OK"], **tried}

    def state(self, modem):
        return ["+CPIN: READY" if self.open else "+CPIN: SIM PIN" if self.tries else "+CPIN: SIM PUK", "OK"]

    def attempt(self, pin):
        def attempted(modem):
            self.open, self.tries = pin == self.pin, 3 if pin == self.pin else self.tries - 1
            return ["OK"] if self.open else ["+CME ERROR: 16"]

        return attempted


def test_a_pin_is_tried_once_and_never_with_the_last_attempt():
    sim, tried = LockedSim("1234"), set()
    with ScriptedModem({**EC25, **sim.answers()}) as scripted:
        modem = ready(scripted)
        assert modem.sim().state == "PIN needed" and modem.sim().tries == 3
        with pytest.raises(PeerError, match=r"refused the PIN \(wrong PIN\); 2 attempts are left"):
            modem.enter_pin("9999", tried)
        for pin in ("9999", "1234"):
            with pytest.raises(LocalError, match="refused its PIN before"):
                modem.enter_pin(pin, tried)
        assert sim.tries == 2
        assert modem.enter_pin("1234", set()).state == "ready" and modem.enter_pin("1234", set()).state == "ready"
    last = LockedSim("1234", tries=1)
    with ScriptedModem({**EC25, **last.answers()}) as scripted, pytest.raises(LocalError, match="1 PIN attempts left"):
        ready(scripted).enter_pin("1234", set())
    assert last.tries == 1


def test_attempts_left_are_asked_of_the_sim_itself_where_the_modem_has_no_command():
    answers = {**SIM7600, "AT+CPIN?": ["+CPIN: SIM PIN", "OK"], "AT+SPIC": ["ERROR"], 'AT+CSIM=10,"0020000100"': ['+CSIM: 4,"63C2"', "OK"]}
    with ScriptedModem(answers) as scripted:
        assert ready(scripted).sim().tries == 2


@pytest.mark.parametrize("pin", ["123", "12345678901", "12a4", '1"23', ""])
def test_what_is_no_pin(pin):
    with ScriptedModem(EC25) as scripted, pytest.raises(LocalError, match="4 to 8 digits"):
        ready(scripted).enter_pin(pin, set())


# the network


def test_an_apn_is_written_only_when_it_differs():
    with ScriptedModem({**EC25, 'AT+CGDCONT=1,"IPV4V6","iot.1nce.net"': ["OK"]}) as scripted:
        modem = ready(scripted)
        assert modem.set_apn("Internet") is False and not any("IPV4V6" in command for command in scripted.asked)
        assert modem.set_apn("iot.1nce.net") is True
        assert scripted.asked[-3:] == ['AT+CGDCONT=1,"IPV4V6","iot.1nce.net"', "AT+CFUN=4", "AT+CFUN=1"]


@pytest.mark.parametrize(
    ("text", "status", "usable", "technology"),
    [
        ("2,1,\"1A2B\",\"01C3D4E5\",7", "home", True, "LTE"),
        ("002,005", "roaming", True, None),
        ("2,3,,,,0,15", "denied", False, None),
        ("2,2,,", "searching", False, None),
        ("0,8", "emergency only", False, None),
        ("2,1,1A2B,1C3D4E5,9", "home", True, "NB-IoT"),
        ('5,"FFFF","0",7', None, None, None),  # an event, not an answer
        ("2,99", None, None, None),
        ("", None, None, None),
        ("x,y", None, None, None),
    ],
)
def test_registration_in_the_words_of_several_modems(text, status, usable, technology):
    found = parse(text)
    assert (found and found.status, found and found.usable, found and found.technology) == (status, usable, technology)
    assert found is None or status != "denied" or found.cause == 15


def test_the_network_that_carries_data_counts():
    answers = {**EC25, "AT+CEREG?": ["+CEREG: 2,3,,,,0,15", "OK"], "AT+C5GREG?": ['+C5GREG: 2,5,"1A2B","0",11', "OK"]}
    with ScriptedModem(answers) as scripted:
        found = ready(scripted).registration()
        assert found.usable and found.roaming and found.technology == "5G"
        scripted.answers["AT+C5GREG?"] = ["ERROR"]
        assert ready(scripted).registration().status == "denied"


def test_signals_in_several_scales():
    assert csq("20,99").rssi == -73 and csq("99,99").rssi is None and csq("nonsense").rssi is None
    assert (cesq("99,99,255,255,22,50").rsrq, cesq("99,99,255,255,22,50").rsrp) == (-9, -91) and cesq("1").rsrp is None
    tenths = cpsi("LTE,Online,310-260,0x4D07,123,5,EUTRAN-BAND3,1300,5,5,-94,-850,-545,15")
    assert (tenths.rsrq, tenths.rsrp, tenths.rssi, tenths.sinr, tenths.band) == (-9.4, -85, -54.5, 15, "EUTRAN-BAND3")
    indices = cpsi("LTE,Online,310-260,0x4D07,123,5,EUTRAN-BAND3,1300,5,5,12,36,42,5")
    assert (indices.rsrq, indices.rsrp) == (-14, -105)
    assert cpsi("NO SERVICE,Online").technology is None and cpsi("").rsrp is None
    standalone = qeng(['"servingcell","NOCONN","NR5G-SA","TDD",262,01,1,2,1A,640000,78,12,-90,-11,20,1,-'])
    assert (standalone.technology, standalone.rsrp, standalone.rsrq, standalone.sinr) == ("5G", -90, -11, 20)
    lte = '"LTE","FDD",262,01,1C,310,1300,3,5,5,1A,-93,-9,-66,15,38'
    both = qeng(['"servingcell","NOCONN"', lte, '"NR5G-NSA",262,01,5,-95,10,-11,640000,78'])
    assert both.technology == "LTE and 5G" and both.rsrp == -93
    assert qeng(['"servingcell","SEARCH"']).rsrp is None and qeng(['"servingcell","X","LTE",-']).rsrp is None
    assert qeng(['"servingcell","NOCONN","LTE","FDD",262,01,1C,310,1300,3,5,5,1A,-32768,-,-66,15,38']).rsrp is None


# bytes from the port are hostile


def test_no_bytes_break_the_parsers():
    rng = random.Random(7)
    alphabet = b'+CEREG: 2,1"\r\n\0>OK ERROR-x(),\xff'
    for _ in range(3000):
        data = bytes(rng.choice(alphabet) for _ in range(rng.randrange(60)))
        text = data.decode("ascii", "ignore")
        lines, at = Lines(), rng.randrange(61)
        whole = Lines().feed(data)
        assert lines.feed(data[:at]) + lines.feed(data[at:]) == whole or b"> " in data
        fields(text), is_quoted(text, 1), parse(text), csq(text), cesq(text), cpsi(text), qeng([text])


def test_long_garbage_is_dropped():
    lines = Lines()
    assert lines.feed(b"x" * 100_000) == [] and lines.feed(b"\r\nOK\r\n") == ["OK"]


# which port


def usb(root, name, vendor, product, interface):
    device = root / "sys/devices/usb1" / "1-1"
    folder = device / f"1-1:1.{interface}"
    tty = folder / name
    tty.mkdir(parents=True)
    for path, value in ((device / "idVendor", vendor), (device / "idProduct", product), (folder / "bInterfaceNumber", f"{interface:02x}")):
        path.write_text(value + "\n")
    (root / "sys/class/tty" / name).mkdir(parents=True)
    (root / "sys/class/tty" / name / "device").symlink_to(tty)


def test_a_known_modem_is_found_by_its_interface(tmp_path):
    for interface in range(5):
        usb(tmp_path, f"ttyUSB{interface + 3}", "1e0e", "9001", interface)
    assert [(found.path, found.device) for found in search(str(tmp_path))] == [(str(tmp_path / "dev/ttyUSB5"), "1-1")]


def test_an_unknown_modem_is_found_by_asking(tmp_path):
    with ScriptedModem({"AT": []}) as mute, ScriptedModem(EC25) as answering:
        for interface in range(2):
            usb(tmp_path, f"ttyUSB{interface}", "1234", "5678", interface)
        paths = {str(tmp_path / "dev/ttyUSB0"): mute.path, str(tmp_path / "dev/ttyUSB1"): answering.path}
        start = time.monotonic()
        assert [found.path[-7:] for found in search(str(tmp_path), lambda path: open_port(paths[path]))] == ["ttyUSB1"]
        assert time.monotonic() - start < 30


def test_the_refusal_keeps_the_reason():
    with ScriptedModem({**EC25, "AT+X": ["+CME ERROR: 30"], "AT+Y": ["+CMS ERROR: no network"]}) as scripted:
        channel = Channel(open_port(scripted.path))
        with pytest.raises(Failed) as caught:
            channel.command("AT+X")
        assert caught.value.code == 30
        with pytest.raises(Failed, match="no network") as caught:
            channel.command("AT+Y")
        assert caught.value.code is None
