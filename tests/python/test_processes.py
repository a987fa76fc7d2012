"""A client that other processes and threads have, too: each answer is the caller's own."""

import base64
import concurrent.futures
import copy
import multiprocessing
import pickle
import ssl
import threading

import attend
import numpy as np
import pytest
import requests
from commands import FakeService
from conftest import LAYERS
from oracle import attention

FORK = multiprocessing.get_context("fork")
ANSWER = {"model": "fake", "output": [[1.0, 2.0]]}
SECONDS = 60  # until a child counts as stuck


def in_a_child(call):
    """What `call` returns in a forked process, or the exception that it raises there."""

    def run(pipe):
        try:
            pipe.send(call())
        except BaseException as error:
            pipe.send(error)

    here, there = FORK.Pipe()
    child = FORK.Process(target=run, args=(there,))
    child.start()
    try:
        assert here.poll(SECONDS), "the child does not answer"
        result = here.recv()
    finally:
        child.kill()
        child.join()
    if isinstance(result, BaseException):
        raise result
    return result


def warm(mha):
    mha([[1.0, 2.0]])
    return mha


def given(url):
    """A client whose session is the caller's, and was used before."""
    session = requests.Session()
    session.get(url + "/models").raise_for_status()
    return attend.MultiHeadAttention(url, "fake", session=session, wire="json")


def own(url):
    return attend.MultiHeadAttention(url, "fake", wire="json")


@pytest.mark.parametrize("make", [own, given])
def test_a_child_has_connections_of_its_own(make):
    """And its child again; the parent's stays as it is."""
    with FakeService(ANSWER) as service:
        mha = warm(make(service.url))
        in_a_child(lambda: warm(mha) and in_a_child(lambda: warm(mha) and None))
        warm(mha)
        parent, child, grandchild, again = service.peers[-4:]
    assert len({parent, child, grandchild}) == 3 and again == parent


def test_a_session_from_before_the_fork():
    """The layer is made in the child, the session in the parent."""
    with FakeService(ANSWER) as service:
        session = given(service.url).client.session
        session.get(service.url + "/models")
        layer = attend.MultiHeadAttention
        in_a_child(lambda: warm(layer(service.url, "fake", session=session, wire="json")) and None)
        assert service.peers[-1] != service.peers[-2]


def test_the_session_itself_in_a_child():
    with FakeService(ANSWER) as service:
        mha = warm(own(service.url))
        mha.client.session.headers["X-Mine"] = "kept"
        assert in_a_child(lambda: mha.client.session.get(service.url + "/models").status_code) == 200
        assert in_a_child(lambda: warm(mha).client.session.headers["X-Mine"]) == "kept"
        assert len({service.peers[0], *service.peers[-2:]}) == 3


def test_what_a_session_was_set_up_with_stays():
    session, context = requests.Session(), ssl.create_default_context()
    adapter = requests.adapters.HTTPAdapter(max_retries=3, pool_block=True)
    adapter.init_poolmanager(2, 5, block=True, ssl_context=context)
    session.mount("https://", adapter)
    session.cookies.set("login", "yes")
    session.auth, session.verify = ("me", "secret"), False
    client = attend.Client("https://127.0.0.1:1", session=session)
    for found in (client.session, in_a_child(lambda: not check_set_up(client.session, context)) and client.session):
        check_set_up(found, context)


def check_set_up(session, context):
    adapter = session.get_adapter("https://x")
    assert (adapter.max_retries.total, adapter._pool_block, len(adapter.poolmanager.pools)) == (3, True, 0)
    assert adapter.poolmanager.connection_pool_kw["ssl_context"] is context
    assert session.cookies["login"] == "yes" and (session.auth, session.verify) == (("me", "secret"), False)


def rows(seed):
    return np.random.default_rng(seed).standard_normal((1, 3, 24)).astype(np.float32)


def work(seeds):
    """Calls on the layer that the parent made, with each its own numbers."""
    return [SHARED(rows(seed), return_=["lse"])[0] for seed in seeds]


def test_a_pool_of_forked_workers(url):
    """As the workers of a DataLoader, or of gunicorn with a preloaded application, do: all at once, on one layer."""
    global SHARED
    SHARED = attend.MultiHeadAttention(url, "plain")
    SHARED(rows(0))
    tasks = [range(100 * n, 100 * n + 25) for n in range(8)]
    with FORK.Pool(4) as pool:
        result = pool.map_async(work, tasks, chunksize=1)
        mine = [SHARED(rows(seed)) for seed in range(50)]
        found = result.get(SECONDS)
    for seeds, outputs in ((range(50), mine), *zip(tasks, found)):
        for seed, output in zip(seeds, outputs):
            want = attention(*LAYERS["plain"], rows(seed))[0]
            np.testing.assert_allclose(output, want, rtol=0, atol=2e-6 * np.abs(want).max())


def test_forks_beside_threads_that_call(url):
    """A fork does not bring along the threads that hold the locks of the pool."""
    mha, stop = attend.MultiHeadAttention(url, "plain"), threading.Event()

    def call():
        while not stop.is_set():
            mha(rows(1))

    threads = [threading.Thread(target=call) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        want = mha(rows(2))
        for _ in range(20):
            np.testing.assert_array_equal(in_a_child(lambda: mha(rows(2))), want)
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def test_many_threads_on_one_layer(url, caplog):
    """Right numbers, each thread its own address of a kept result, and no connection thrown away."""
    mha, together = attend.MultiHeadAttention(url, "plain"), threading.Barrier(24)

    def call(seed):
        together.wait()
        outputs = [mha(rows(seed), keep=True) for _ in range(5)]
        document = requests.get(mha.result_url + ".json", timeout=60).json()
        return outputs, document["request"]["query"]

    with concurrent.futures.ThreadPoolExecutor(24) as pool:
        found = list(pool.map(call, range(24)))
    for seed, (outputs, sent) in enumerate(found):
        want = attention(*LAYERS["plain"], rows(seed))[0]
        for output in outputs:
            np.testing.assert_allclose(output, want, rtol=0, atol=2e-6 * np.abs(want).max())
        data = base64.b64decode(sent["data"])
        np.testing.assert_array_equal(np.frombuffer(data, "<f4").reshape(1, 3, 24), rows(seed))
    assert mha.result_url is None and "pool is full" not in caplog.text


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda mha: pickle.loads(pickle.dumps(mha))])
def test_copies_of_a_layer(url, copied):
    mha = attend.MultiHeadAttention(url, "plain", timeout=7.0, wire="json")
    want = mha(rows(3), keep=True)
    other = copied(mha)
    np.testing.assert_array_equal(other(rows(3)), want)
    assert (other.model, other.client.timeout, other.client.wire) == ("plain", 7.0, "json")
    assert other.result_url is None and mha.result_url is not None


def test_an_answer_to_another_request():
    """Whoever it was for: an error. The connection is given up, for its next answer may be a stranger's too."""
    with FakeService(ANSWER) as service:
        mha = warm(own(service.url))
        service.request_id = "somebody-elses"
        with pytest.raises(attend.AttendError, match="the answer to another request, not to [0-9a-f]{32}") as caught:
            warm(mha)
        assert (caught.value.code, caught.value.request_id) == ("bad_answer", "somebody-elses")
        with pytest.raises(attend.AttendError, match="the answer to another request"):
            mha.client.models()
        service.request_id = None  # as the service does
        warm(mha)
        assert len(set(service.peers[1:])) == len(service.peers[1:])
        service.request_id = ""  # taken off on the way
        warm(mha)
        service.request_id = "a-proxys"
        warm(attend.MultiHeadAttention(service.url, "fake", wire="json", request_ids=False))


def test_the_service_logs_our_ids(server):
    mha = attend.MultiHeadAttention(server.url, "plain")
    with pytest.raises(attend.AttendError) as caught:
        mha(np.zeros((2, 3)))
    answers = [mha.client.attend("plain", query=rows(1)).request_id for _ in range(3)]
    assert len({caught.value.request_id, *answers}) == 4
