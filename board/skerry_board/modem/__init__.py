"""Cellular modems over their AT port: who it is, the SIM, registration, signal, APN, reset.

    port        a serial port (pyserial), and which of a modem's ports takes commands
    lines       bytes of the port as lines; sans-IO
    channel     one command at a time and what answers it
    registration, signal, answers    what the answers mean
    dialects    where makers differ: a table for each family
    modem       the interface that all of it serves

Sources: 3GPP TS 27.007 (commands), TS 27.005; the makers' AT manuals for what has no standard. Data does not pass here: ModemManager or
pppd dial. One owner for a port: two that read from one take each other's bytes.
"""

from .channel import Channel, Failed, NoAnswer, PortGone
from .modem import Modem, SimState
from .port import Found, open_port, search

__all__ = ["Channel", "Failed", "Found", "Modem", "NoAnswer", "PortGone", "SimState", "open_port", "search"]
