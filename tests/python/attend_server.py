"""Starts the real attend-server for tests and stops it again."""

import os
import re
import subprocess
import threading
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BINARY = Path(os.environ.get("ATTEND_SERVER", ROOT / "build" / "attend-server"))


class AttendServer:
    """A server on a free port: `url` while it runs, `admin_url` if it has an admin port, `log` with all it wrote. Use it in a `with` block, which ends with
    SIGTERM and fails if the exit code is not 0."""

    def __init__(self, *arguments):
        self.arguments = [str(BINARY), "--port", "0", "--drain-seconds", "0", *map(str, arguments)]
        self.log = []
        self.url = self.admin_url = None

    def __enter__(self):
        if not BINARY.exists():
            raise FileNotFoundError(f"{BINARY} is missing: build it with make, or name it in ATTEND_SERVER")
        environment = {name: value for name, value in os.environ.items() if not name.startswith("ATTEND_")}
        self.process = subprocess.Popen(self.arguments, stderr=subprocess.PIPE, text=True, env=environment)
        self.listening = threading.Event()
        # The pipe is read to its end, or a server that logs much would wait for us.
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()
        if not self.listening.wait(60) or self.url is None:
            self.process.kill()
            raise RuntimeError("the server did not start:\n" + "".join(self.log))
        return self

    def _read(self):
        for line in self.process.stderr:
            self.log.append(line)
            found = re.match(r"(listening|admin) on (http://\S+)", line)
            if found and found.group(1) == "admin":
                self.admin_url = found.group(2)
            elif found:
                self.url = found.group(2)
            if found and (self.admin_url or "--admin-port" not in self.arguments):
                self.listening.set()
        self.listening.set()

    def __exit__(self, *_):
        self.process.terminate()
        try:
            code = self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        self.reader.join(5)
        self.process.stderr.close()
        assert code == 0, f"the server ended with {code}:\n" + "".join(self.log[-20:])
