"""OpenVINO's import starts its telemetry, which writes into the home folder and speaks to Google: not with us."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def test_openvino_is_loaded_without_its_telemetry(tmp_path: Path) -> None:
    kept = {key: value for key, value in os.environ.items() if key in ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH")}
    code = "from thalbids.inference import network; print(network.openvino().Core().available_devices); import sys; "
    code += "print(sys.modules['openvino_telemetry'])"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=kept | {"HOME": str(tmp_path)}, capture_output=True, text=True, check=True)
    assert "CPU" in done.stdout and done.stdout.split()[-1] == "None"
    assert not list(tmp_path.iterdir())
