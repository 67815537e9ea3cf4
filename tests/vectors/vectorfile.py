"""Reads the vector files of this folder, on CPython and MicroPython alike; README.md has the format."""

import binascii

_FOLDER = __file__.rsplit("/", 1)[0] if "/" in __file__ else "."


def unhex(text):
    """Hex with any white space -> bytes."""
    return binascii.unhexlify("".join(text.split()))


def records(name):
    """Each record of <name>.txt (or of a path that ends in .txt) as a dict of bytes and str, plus "line", its first line's number."""
    path = name if name.endswith(".txt") else _FOLDER + "/" + name + ".txt"
    record = {}
    number = 0
    with open(path) as file:
        for line in file:
            number += 1
            line = line.strip()
            if line.startswith("#"):
                continue
            if line:
                _add(record, line, path, number)
            elif record:
                yield record
                record = {}
    if record:
        yield record


def _add(record, line, path, number):
    if "=" not in line:
        raise ValueError("%s:%d: %r is not `name = value`" % (path, number, line))
    if not record:
        record["line"] = number
    name, value = line.split("=", 1)
    name = name.strip()
    value = value.strip()
    if name in record:
        raise ValueError("%s:%d: %s twice in one record; is a blank line missing?" % (path, number, name))
    record[name] = value[1:-1] if value.startswith('"') else unhex(value)


def raises(exception, function, *arguments):
    """Assert that the call raises `exception`; the exception is returned so that its text can be looked at."""
    try:
        function(*arguments)
    except exception as error:
        return error
    raise AssertionError("%s was not raised" % exception.__name__)
