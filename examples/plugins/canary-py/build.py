"""Builds dist/canary.wasm: pip install -r requirements.txt && python build.py

A world and the contract it includes must lie in one folder, so both are gathered first.
"""

import shutil
import subprocess
import sysconfig
from pathlib import Path

here = Path(__file__).parent
dist = here / "dist"
shutil.rmtree(dist, ignore_errors=True)
shutil.copytree(here / "../../../wit", dist / "wit/deps/jackfield-plugin")
shutil.copy(here / "world.wit", dist / "wit/world.wit")

tool = Path(sysconfig.get_path("scripts")) / "componentize-py"
# Without WASI: the interpreter's own needs are stubbed, so the component imports only our interfaces.
options = ["--stub-wasi", "-p", here, "-o", dist / "canary.wasm"]
subprocess.run([tool, "-d", dist / "wit", "-w", "canary", "componentize", "canary", *options], check=True)
print(f"dist/canary.wasm: {(dist / 'canary.wasm').stat().st_size} bytes")
