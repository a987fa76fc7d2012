"""The service among the programs that it is operated with. PROMETHEUS is the folder that has prometheus and promtool."""

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "python"))


@pytest.fixture(scope="session")
def prometheus_tools():
    return Path(os.environ["PROMETHEUS"]).resolve()
