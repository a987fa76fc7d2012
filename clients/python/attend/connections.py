"""What must hold for a requests.Session that other threads and processes may have, too."""

from __future__ import annotations

import copy
from typing import Optional

import requests
from requests.adapters import HTTPAdapter

THREADS = 256  # that may each keep a connection open; those of more threads are closed after each request


def new_session() -> requests.Session:
    session = requests.Session()
    for prefix in ("http://", "https://"):
        session.mount(prefix, HTTPAdapter(pool_maxsize=THREADS))
    return session


def forget_connections(session: requests.Session) -> None:
    """Leaves the session as it is, but without open connections, and without locks that a thread may have held which
    a fork did not bring along. Nothing is sent on the connections: a parent can go on using its own."""
    session.cookies = copy.copy(session.cookies)
    for adapter in session.adapters.values():
        if isinstance(adapter, HTTPAdapter):  # as if it had been pickled, which makes its pools anew
            options = adapter.poolmanager.connection_pool_kw
            adapter.__setstate__(adapter.__getstate__())
            adapter.poolmanager.connection_pool_kw.update(options)  # an ssl_context, say, which cannot be pickled
        else:
            adapter.close()


def renamed(sent: Optional[str], response: requests.Response) -> bool:
    """Whether the answer is that to another request. A proxy may take the name off: nothing to compare."""
    return sent is not None and response.headers.get("X-Request-Id", sent) != sent
