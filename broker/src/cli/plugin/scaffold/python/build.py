"""Builds dist/plugin.wasm: pip install -r requirements.txt && python build.py

A world and the contract it includes must lie in one folder, so both are gathered first.
"""

import shutil
import subprocess
import sysconfig
from pathlib import Path

here = Path(__file__).resolve().parent
dist = here / "dist"
shutil.rmtree(dist, ignore_errors=True)
shutil.copytree(here / "jackfield/wit", dist / "wit/deps/jackfield-plugin")
shutil.copy(here / "world.wit", dist / "wit/world.wit")

tool = Path(sysconfig.get_path("scripts")) / "componentize-py"
# Without WASI: the interpreter's own needs are stubbed, so the component imports only the broker's interfaces.
options = ["--stub-wasi", "-p", here, "-o", dist / "plugin.wasm"]
subprocess.run([tool, "-d", dist / "wit", "-w", "plugin", "componentize", "plugin", *options], check=True)
