"""Compiles the C of skerry_shim: declarations from shim.h, sources *.c, one extension with the limited ABI."""

import os
from pathlib import Path

import cffi

HERE = Path(__file__).parent
CFLAGS = ["-std=gnu11", "-O2", "-g", "-Wall", "-Wextra", "-Werror", "-fstack-protector-strong", "-D_GNU_SOURCE"]


def builder() -> "cffi.FFI":
    """The configured builder; sources are named relative to this folder, which is also the temporary directory of the compilation."""
    ffi = cffi.FFI()
    declarations = (HERE / "shim.h").read_text()
    ffi.cdef(declarations)
    ffi.set_source(
        "_shim",
        '#include <stdint.h>\n#include <stddef.h>\n#include "shim.h"\n',
        sources=sorted(p.name for p in HERE.glob("*.c") if not p.name.startswith("_shim")),
        include_dirs=["."],
        libraries=["crypto", "pthread"],
        extra_compile_args=CFLAGS,
        py_limited_api=True,
        define_macros=[("Py_LIMITED_API", "0x030B0000")],
    )
    return ffi


def compile_shim() -> Path:
    """Compile in place and return the extension's path. Raises cffi.VerificationError when the compiler or OpenSSL's headers are missing."""
    before = Path.cwd()
    os.chdir(HERE)
    try:
        return Path(builder().compile(tmpdir=".", verbose=False))
    finally:
        os.chdir(before)


if __name__ == "__main__":
    print(compile_shim())
