"""Compiles the C of skerry_shim: declarations from shim.h, sources *.c, one extension with the limited ABI.

The work happens in a temporary directory and the finished extension is renamed into place, so a process that has the old one
mapped keeps it and a reader never sees half a file.
"""

import os
import platform
import shutil
import tempfile
from pathlib import Path

import cffi

HERE = Path(__file__).resolve().parent
TARGET = HERE / "_shim.abi3.so"
WARNINGS = ["-Wall", "-Wextra", "-Werror", "-Wshadow", "-Wpointer-arith", "-Wstrict-prototypes", "-Wvla"]
# cffi's own code before ours calls alloca and memset; Python.h brings their headers no longer for the limited ABI of 3.13 (Debian trixie)
HEADERS = ["-include", "alloca.h", "-include", "string.h"]
CFLAGS = ["-std=gnu11", "-O2", "-g", *WARNINGS, "-fstack-protector-strong", "-fvisibility=hidden", "-D_GNU_SOURCE"]

# 64-bit counters need the compiler's library where the processor has no such instruction
ATOMIC = ["atomic"] if platform.machine() in ("armv5tel", "armv6l", "mips", "mipsel", "riscv32") else []


def sources() -> list[Path]:
    """The C files of this folder, without generated ones."""
    return sorted(p for p in HERE.glob("*.c") if not p.name.startswith("_shim"))


def builder() -> "cffi.FFI":
    """The configured builder; sources are absolute, so that any temporary directory will do."""
    ffi = cffi.FFI()
    ffi.cdef((HERE / "shim.h").read_text())
    ffi.set_source(
        "_shim",
        '#include <stdint.h>\n#include <stddef.h>\n#include "shim.h"\n',
        sources=[str(p) for p in sources()],
        include_dirs=[str(HERE)],
        libraries=["crypto", "pthread", *ATOMIC],
        extra_compile_args=[*CFLAGS, *HEADERS],
        py_limited_api=True,
        define_macros=[("Py_LIMITED_API", "0x030B0000")],
    )
    return ffi


def compile_shim() -> Path:
    """Compile and return the extension's path. Raises cffi.VerificationError when the compiler or OpenSSL's headers are missing."""
    with tempfile.TemporaryDirectory(prefix="skerry-shim-") as folder:
        built = builder().compile(tmpdir=folder, verbose=False)
        staged = TARGET.with_name(f".{TARGET.name}.{os.getpid()}")
        shutil.copy2(built, staged)
        os.replace(staged, TARGET)
    return TARGET


if __name__ == "__main__":
    print(compile_shim())
