"""The package's exceptions go through pickle, copy and pools of processes as they are."""

import concurrent.futures
import copy
import importlib
import multiprocessing
import pickle
import pkgutil

import attend
import numpy as np
import pytest

SECONDS = 60  # until a pool counts as stuck


def errors():
    """Every exception class of the package, with one of its kind."""
    found = set()
    for module in pkgutil.iter_modules(attend.__path__, "attend."):
        if not module.name.endswith("__main__"):
            for thing in vars(importlib.import_module(module.name)).values():
                if isinstance(thing, type) and issubclass(thing, BaseException) and thing.__module__[:6] == "attend":
                    found.add(thing)
    assert {attend.AttendError, attend.AttendWarning} < found
    return sorted(found, key=lambda kind: kind.__name__)


ROUND_TRIPS = [copy.copy, copy.deepcopy]
ROUND_TRIPS += [lambda e, p=p: pickle.loads(pickle.dumps(e, p)) for p in range(pickle.HIGHEST_PROTOCOL + 1)]


@pytest.mark.parametrize("round_trip", ROUND_TRIPS)
@pytest.mark.parametrize("kind", errors())
def test_errors_can_be_copied(kind, round_trip):
    known = ("too large", "bad_shape", 400, "query[0]", 17, "id") if kind is attend.AttendError else ("too large",)
    error = kind(*known)
    error.note = ["of the caller"]
    again = round_trip(error)
    assert type(again) is kind and str(again) == str(error) and again.args == error.args
    assert vars(again) == vars(error)


class Refused(attend.AttendError):
    pass


def test_errors_of_a_kind_of_ones_own():
    again = pickle.loads(pickle.dumps(Refused("no", "queue_full", status=429)))
    assert type(again) is Refused and (again.sentence, again.code, again.status) == ("no", "queue_full", 429)


def refuse(url):
    attend.MultiHeadAttention(url, "plain")(np.zeros((1, 5)))


@pytest.mark.parametrize("kind", ["fork", "spawn"])
def test_workers_deliver_errors(url, kind):
    context = multiprocessing.get_context(kind)
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as pool:
        delivered = [pool.submit(refuse, url).exception(SECONDS)]
    with context.Pool(1) as pool:
        with pytest.raises(attend.AttendError) as caught:
            pool.map_async(refuse, [url]).get(SECONDS)
    for error in (*delivered, caught.value):
        assert (error.code, error.status, error.path) == ("bad_shape", 400, "query") and error.request_id
