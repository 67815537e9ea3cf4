"""The bytes of an AT port as lines: `feed(data)` gives the complete lines so far, without their ends.

Lines end in CR, LF or both (some modems send CR CR LF); empty ones, NULs and what is no ASCII are dropped. The prompt for a message
body, "> " without an end, counts as a line. A line longer than LIMIT is garbage (a wrong baud rate, or a port in data mode) and dropped.
"""

LIMIT = 2048
PROMPT = ">"


class Lines:
    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[str]:
        """Any cut of bytes."""
        parts = (self._rest + data.replace(b"\0", b"").replace(b"\r", b"\n")).split(b"\n")
        self._rest = parts.pop()
        if self._rest.lstrip() == b"> ":
            parts.append(PROMPT.encode())
            self._rest = b""
        if len(self._rest) > LIMIT:
            self._rest = b""
        found = (part.decode("ascii", "ignore").strip() for part in parts if len(part) <= LIMIT)
        return [line for line in found if line]

    def clear(self) -> None:
        self._rest = b""


def fields(text: str) -> list[str]:
    """The values behind a "+NAME: ", split at commas; quotes are taken off and protect commas, parentheses protect too."""
    found, current, depth, quoted = [], "", 0, False
    for char in text:
        if char == '"':
            quoted = not quoted
        elif char == "," and not quoted and not depth:
            found.append(current.strip())
            current = ""
        else:
            depth += 0 if quoted else (char == "(") - (char == ")")
            current += char
    return [*found, current.strip()]


def is_quoted(text: str, index: int) -> bool:
    """Whether the value of that index stands in quotes."""
    parts, start, quoted = 0, 0, False
    for at, char in enumerate(text + ","):
        if char == '"':
            quoted = not quoted
        elif char == "," and not quoted:
            if parts == index:
                return text[start:at].strip().startswith('"')
            parts, start = parts + 1, at + 1
    return False
