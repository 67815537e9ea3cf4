"""Hatchling's build hook: compiles skerry_shim with cffi (API mode, limited ABI), so that one wheel serves CPython 3.11 and later."""

import sys
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ROOT = Path(__file__).parent


class ShimBuild(BuildHookInterface):
    """Builds firmware/skerry_shim/_shim.abi3.so and marks the wheel cp311-abi3-<platform>."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if self.target_name != "wheel":
            return
        sys.path.insert(0, str(ROOT / "firmware" / "skerry_shim"))
        try:
            import shim_build
        finally:
            sys.path.pop(0)
        shim_build.compile_shim()
        platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
        build_data["pure_python"] = False
        build_data["tag"] = f"cp311-abi3-{platform}"
