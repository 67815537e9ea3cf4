"""Runs checks inside MicroPython: driver.py MODULE FUNCTION[:crypto]... ; one line each, tracebacks of the failing; exit status 1 then."""

import sys


def run(module, names):
    failed = 0
    for name in names:
        function, _, wants_crypto = name.partition(":")
        arguments = ()
        if wants_crypto:
            from skerry_core.crypto import pure

            arguments = (pure,)
        try:
            getattr(module, function)(*arguments)
            print("ok", function)
        except Exception as error:
            failed += 1
            print("FAILED", function)
            sys.print_exception(error)
    return failed


if __name__ == "__main__":
    if run(__import__(sys.argv[1]), sys.argv[2:]):
        sys.exit(1)
