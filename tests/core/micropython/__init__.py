"""MicroPython for the tests: `fetch` provides an interpreter, `run` starts scripts on it, `driver` runs checks inside it."""
