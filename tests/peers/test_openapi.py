"""The service against its own description: schemathesis makes requests from /openapi.json, good and bad, and holds every
answer against what the description says of it."""

import re
import subprocess
import sys
from pathlib import Path

from attend_server import AttendServer
from conftest import REPORT, SEED

HERE = Path(__file__).parent


def test_schemathesis_finds_nothing(tmp_path):
    with AttendServer("--model", "tiny=init:embed_dim=4,num_heads=2", "--model", "builtin:patterns") as server:
        command = [Path(sys.executable).with_name("schemathesis"), "--config-file", HERE / "schemathesis.toml", "run"]
        command += [f"{server.url}/openapi.json", "--phases", "examples,coverage,fuzzing"]
        command += ["--max-examples", "150", "--seed", str(SEED), "--no-color"]
        run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=900)
    assert run.returncode == 0, run.stdout[-6000:] + run.stderr[-2000:]
    cases = re.search(r"(\d+) generated", run.stdout)
    operations = re.search(r"Tested: (\d+)", run.stdout)
    assert int(cases[1]) > 500 and int(operations[1]) >= 7
    REPORT.append(f"schemathesis: {cases[1]} requests for {operations[1]} operations, no failure")
