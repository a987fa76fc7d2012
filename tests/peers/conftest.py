"""The service against torch and transformers. Shares the server and the oracle with tests/python."""

import os
import sys
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")

ROOT = Path(__file__).resolve().parents[2]
for folder in ("clients/python", "clients/python/examples", "tests/python", "tests/peers"):
    sys.path.insert(0, str(ROOT / folder))

SEED = int(os.environ.get("TEST_SEED", "20240607"))
REPORT = []  # lines for the end of the run


def pytest_report_header():
    return f"random inputs from seed {SEED} (TEST_SEED)"


def pytest_terminal_summary(terminalreporter):
    for line in REPORT:
        terminalreporter.write_line(line)
