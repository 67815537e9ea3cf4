"""Runs in the trixie root: writes cffi's C for the extension and compiles it for the architecture named (x86_64-linux-gnu, ...)."""

import subprocess
import sys

sys.path.insert(0, "/mnt")
import shim_build

triple = sys.argv[1]
shim_build.builder().emit_c_code("/mnt/_shim.c")
python = f"python{sys.version_info[0]}.{sys.version_info[1]}"
include = ["-I/mnt", f"-I/usr/include/{python}", f"-I/usr/include/{triple}/{python}"]
sources = ["/mnt/_shim.c", *map(str, shim_build.sources())]
flags = [*shim_build.CFLAGS, *shim_build.HEADERS]
flags += ["-ffile-prefix-map=/mnt=.", "-fPIC", "-shared", "-DPy_LIMITED_API=0x030B0000", "-Wno-unused-parameter"]
hardening = ["-D_FORTIFY_SOURCE=2", "-Wl,-z,relro,-z,now", "-s"]
libraries = ["-lcrypto", "-lpthread"]
command = [f"{triple}-gcc", *flags, *hardening, *include, *sources, "-o", "/mnt/_shim.abi3.so", *libraries]
sys.exit(subprocess.run(command).returncode)
