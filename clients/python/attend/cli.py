"""The command `attend`: run one request, measure the service, draw its weights."""

from __future__ import annotations

import argparse
import math
import os
import sys
import webbrowser

import numpy as np

from . import __version__, bench, inputs
from .client import DEFAULT_URL, Answer, AttendError, check_timeout, check_url
from .patterns import Patterns
from .wire import RETURNS, TENSORS, WIRES, TopK


def main(arguments=None) -> int:
    """Exit code 0, 1 when the service refused or a file cannot be used, 2 for a wrong command line."""
    options = _parser().parse_args(arguments)
    try:
        return options.command(options)
    except inputs.UsageError as error:
        return _complain(error, 2)
    except (AttendError, inputs.InputError, ValueError) as error:
        return _complain(error, 1)
    except OSError as error:
        return _complain(f"{error.filename}: {error.strerror}" if error.filename else error, 1)
    except MemoryError as error:
        return _complain(f"there is not enough memory here: {error}", 1)
    except KeyboardInterrupt:
        return 130


def _complain(what, code: int) -> int:
    print(f"attend: {what}", file=sys.stderr)
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="attend", description="Client of attend-server.")
    parser.add_argument("--version", action="version", version=f"attend {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_models(commands)
    _add_run(commands)
    _add_bench(commands)
    _add_viz(commands)
    return parser


def _command(commands, name: str, function, text: str) -> argparse.ArgumentParser:
    parser = commands.add_parser(
        name, help=text, description=text, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.set_defaults(command=function)
    url = os.environ.get("ATTEND_URL", DEFAULT_URL)
    parser.add_argument("--url", type=_url, default=url, help="where the service is; also ATTEND_URL")
    parser.add_argument("--timeout", type=_timeout, default=60.0, metavar="SECONDS", help="for an answer")
    return parser


def _url(text: str) -> str:
    try:
        check_url(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return text


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None


def _timeout(text: str) -> float:
    seconds = _number(text)
    try:
        check_timeout(seconds)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return seconds


def _seconds(text: str) -> float:
    seconds = _number(text)
    if not (seconds > 0 and math.isfinite(seconds)):
        raise argparse.ArgumentTypeError(f"{text} seconds are not a time to measure; expected more than 0")
    return seconds


def _whole(least: int, most=None):
    """A reader of whole numbers from `least` on, up to `most`."""
    expected = f"a whole number from {least} " + ("on" if most is None else f"to {most}")

    def read(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            number = None
        if number is None or number < least or (most is not None and number > most):
            raise argparse.ArgumentTypeError(f"{text!r} is not {expected}")
        return number

    return read


def _words(text: str) -> str:
    if not text.split():
        raise argparse.ArgumentTypeError(f'{text!r} names no token; expected words like "A B C"')
    return text


def _shape(text: str) -> tuple:
    try:
        shape = tuple(int(part) for part in text.split(","))
    except ValueError:
        shape = ()
    if len(shape) not in (2, 3) or min(shape) < 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not B,L,E or L,E, like 2,10,512")
    return shape


def _returns(text: str) -> list:
    names = text.split(",")
    for name in names:
        if name not in RETURNS:
            raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(RETURNS)}")
    return names


def _indices(text: str) -> list:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a list like 0,3") from None


def _add_request_options(parser: argparse.ArgumentParser, shape: str) -> None:
    parser.add_argument("--model", help="name of the model; the service's default if not given")
    parser.add_argument("--input", metavar="FILE", help="a request: .json, .npz, or .npy for the query alone")
    parser.add_argument(
        "--text",
        type=_words,
        metavar='"A B C"',
        help="the tokens of a text, for a model that says how it makes vectors of them: patterns, unless --model "
        "names another",
    )
    parser.add_argument("--shape", type=_shape, metavar="B,L,E", help=shape)
    parser.add_argument(
        "--key-length", type=_whole(1), metavar="S", help="cross-attention over this many random keys"
    )
    parser.add_argument("--seed", type=int, default=0, help="of random input")
    parser.add_argument("--causal", action="store_true", help="no query sees a later key")


def _request(options, default, with_labels: bool = False) -> inputs.Request:
    """The request that the options ask for; `default(info)` makes it, of what the service says about the model, if
    they name neither file nor shape."""
    sources = {"--input": options.input, "--text": options.text, "--shape": options.shape}
    named = [name for name, value in sources.items() if value]
    named += ["--key-length"] if options.key_length is not None and named != ["--shape"] else []
    if len(named) > 1:
        raise inputs.UsageError(f"{named[0]} and {named[1]} exclude each other")
    if options.input:
        request = inputs.load(options.input, with_labels)
    elif options.text:
        options.model = options.model or "patterns"
        with inputs.client_of(options) as client:
            request = inputs.text_request(Patterns(client, options.model), options.text)
    else:
        with inputs.client_of(options) as client:
            info = client.model(options.model)
        asked = options.shape or options.key_length is not None
        request = _random_request(options, info) if asked else default(info)
        inputs.note_random(request, info)
    # Where the body names no model, the path does, and the body can stay as it is.
    if options.model and request.fields.get("model") is not None:
        request.set("model", options.model)
    if options.causal:
        request.set("is_causal", True)
    return request


def _random_request(options, info: dict) -> inputs.Request:
    shape = options.shape or (2, 10, info["embed_dim"])
    return inputs.random_request(shape, options.seed, options.key_length, (info["kdim"], info["vdim"]))


def _send(options, request: inputs.Request) -> Answer:
    """Sends a file's own bytes where they say all that is asked, so that the service's sentence about a byte is about
    a byte of the file."""
    if request.body is None and request.problem:
        raise inputs.InputError(request.problem)
    # A JSON file is sent as JSON even where an option changed it: the service's sentences then fit the file.
    from_json = options.input is not None and options.input.endswith(".json")
    with inputs.client_of(options, wire="json" if from_json else "safetensors") as client:
        if request.body is not None:
            return client.post(request.body, options.model)
        fields = dict(request.fields)
        model = options.model or fields.pop("model", None)
        try:
            return client.attend(model, **fields)
        except AttendError as error:
            error.offset = None  # of a body that nobody but the service has seen
            raise


def _show_warnings(answer: Answer) -> None:
    for sentence in answer.warnings:
        print(f"attend: warning: {sentence}", file=sys.stderr)


# attend models


def _add_models(commands) -> None:
    _command(commands, "models", _models, "List the models of the service.")


def _models(options) -> int:
    with inputs.client_of(options) as client:
        listing = client.models()
    for info in listing["models"]:
        default = "  (default)" if info["name"] == listing["default"] else ""
        widths = (
            ""
            if info["kdim"] == info["vdim"] == info["embed_dim"]
            else f", kdim {info['kdim']}, vdim {info['vdim']}"
        )
        print(f"{info['name']}: embed_dim {info['embed_dim']}, {info['num_heads']} heads{widths}{default}")
    return 0


# attend run


def _add_run(commands) -> None:
    parser = _command(commands, "run", _run, "Send one request and say what came back.")
    _add_request_options(
        parser, "random input of this shape (2,10,E of the model if there is no --input or --text either)"
    )
    parser.add_argument("--need-weights", action="store_true", help="ask for the attention weights too")
    parser.add_argument("--average", action="store_true", help="the weights averaged over the heads")
    parser.add_argument(
        "--return", type=_returns, dest="return_", metavar="lse,stats", help="more results: " + ", ".join(RETURNS)
    )
    parser.add_argument("--out", metavar="FILE.npz", help="keep all results here")


def _run(options) -> int:
    if options.out:
        inputs.check_writable(options.out)
    request = _request(options, lambda info: _random_request(options, info))
    fields = request.fields
    if options.need_weights or options.average:
        request.set("need_weights", True)
    if options.average:
        request.set("average_attn_weights", True)
    if options.return_:
        request.set("return", options.return_)
    answer = _send(options, request)

    print(f"{'model':13} {answer.model} at {options.url}")
    print(f"{'source':13} {request.source}")
    for name in TENSORS:
        if fields.get(name) is not None:
            print(f"{name:13} {_summary(fields[name])}")
    results = _results(answer)
    for name, array in results.items():
        print(f"{name:13} {_summary(array)}")
    if answer.seed is not None:
        print(f"{'seed':13} {answer.seed}")
    for sentence in answer.warnings:
        print(f"{'warning':13} {sentence}")
    if answer.timing:
        print(f"{'server':13} " + ", ".join(f"{name} {ms:.3f} ms" for name, ms in answer.timing.items()))
    print(f"{'request id':13} {answer.request_id}")
    if options.out:
        with open(options.out, "wb") as file:  # numpy would add .npz to a name
            np.savez(file, **results)
        print(f"{'written':13} {options.out}")
    return 0


def _results(answer: Answer) -> dict:
    """All arrays of an answer by name, those within others with a dot: stats.max, attn_weights.indices."""
    results = {}
    for name, result in {"output": answer.output, "attn_weights": answer.attn_weights, **answer.more}.items():
        parts = result._asdict() if isinstance(result, TopK) else result
        if isinstance(parts, dict):
            results.update({f"{name}.{part}": array for part, array in parts.items()})
        elif result is not None:
            results[name] = result
    return results


def _summary(array: np.ndarray) -> str:
    text = f"{array.dtype} {list(array.shape)}"
    if array.size == 0:
        return text
    if array.dtype == np.bool_:
        return f"{text}, {int(array.sum())} of {array.size} true"
    first = " ".join(f"{number:.6g}" for number in array.ravel()[:4])
    more = " ..." if array.size > 4 else ""
    return f"{text}, from {array.min():.6g} to {array.max():.6g}: {first}{more}"


# attend bench


def _add_bench(commands) -> None:
    parser = _command(
        commands, "bench", _bench, "Measure the service and, where it is installed, torch beside it."
    )
    parser.add_argument("--model", help="name of the model; the service's default if not given")
    parser.add_argument("--shape", type=_shape, metavar="B,L,E", help="of the query (2,10,E of the model)")
    parser.add_argument(
        "--key-length", type=_whole(1), metavar="S", help="cross-attention over this many keys"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the input")
    parser.add_argument(
        "--seconds", type=_seconds, default=10.0, help="of measuring, shared by service and torch"
    )
    parser.add_argument(
        "--requests", type=_whole(1), metavar="N", help="measure N requests instead, and N torch passes"
    )
    parser.add_argument(
        "--warmup", type=_whole(0), default=20, metavar="N", help="unmeasured requests before"
    )
    parser.add_argument(
        "--concurrency", type=_whole(1), default=1, metavar="N", help="callers that wait for their answer"
    )
    parser.add_argument("--causal", action="store_true", help="no query sees a later key")
    parser.add_argument("--need-weights", action="store_true", help="ask for the attention weights too")
    parser.add_argument(
        "--decode", action="store_true", help="time what a Python caller waits for: encode, ask, decode"
    )
    parser.add_argument(
        "--wire", choices=sorted(WIRES), help="how tensors travel; json, and safetensors with --decode, if not given"
    )
    parser.add_argument("--no-torch", action="store_true", help="leave torch out")
    parser.add_argument(
        "--torch-threads", type=_whole(1), metavar="N", help="torch's own choice if not given"
    )
    parser.add_argument(
        "--init-seed", type=int, metavar="N", help="the model is init:...,seed=N: compare the numbers"
    )
    parser.add_argument("--json", metavar="FILE", help="the results as JSON too")


def _bench(options) -> int:
    return bench.run(options)


# attend viz


def _add_viz(commands) -> None:
    parser = _command(
        commands, "viz", _viz, "Draw the attention weights of one request, a heat map per head."
    )
    _add_request_options(
        parser,
        "random input of this shape (if there is no --input or --text either: nine words, each a random vector; only "
        "the picture of a real --input says something about what a trained model looks at)",
    )
    parser.add_argument(
        "--labels",
        type=_words,
        metavar='"A B C"',
        help="names of the tokens, of the queries and, unless given, the keys",
    )
    parser.add_argument("--key-labels", type=_words, metavar='"A B C"', help="names of the keys")
    parser.add_argument("--batch", type=int, default=0, help="which element of the batch")
    parser.add_argument("--heads", type=_indices, metavar="0,3", help="which heads; all if not given")
    parser.add_argument("--mean", action="store_true", help="one map, the mean over the heads")
    parser.add_argument("--scale", choices=("linear", "sqrt", "log"), default="linear", help="of the colours")
    parser.add_argument(
        "--padding", choices=("crop", "hatch"), default="crop", help="leave padding out, or show it"
    )
    parser.add_argument("--title", help="instead of the model's name and shape")
    parser.add_argument("--dpi", type=_whole(30, 1200), default=150, help="pixels per inch")
    parser.add_argument(
        "--out",
        metavar="FILE",
        help=".png, .svg or .pdf, a PNG if it has no ending; attention_viz.png if not given",
    )
    parser.add_argument(
        "--open",
        action="store_true",
        help="let the service keep the result, and open a browser on it (BROWSER says which); no picture then, unless "
        "--out is given too",
    )


def _viz(options) -> int:
    draws = bool(options.out) or not options.open
    if draws:
        options.out = options.out or "attention_viz.png"
        viz = _drawing()
        inputs.check_writable(options.out)
    request = _viz_request(options)
    if options.open:
        _keep(request, options)
    if draws:
        request.set("need_weights", True)
        if request.fields.get("average_attn_weights"):
            request.set("average_attn_weights", False)
        request.set("view", None)  # the maps are drawn whole
    answer = _send(options, request)
    _show_warnings(answer)
    if draws:
        _draw(viz, request, answer, options)
    return _open(answer, request) if options.open else 0


def _drawing():
    """The module that draws."""
    try:
        from . import viz
    except ImportError as error:
        raise inputs.InputError(
            f"the pictures need matplotlib ({error}): pip install 'attend-client[viz]'"
        ) from error
    return viz


def _viz_request(options) -> inputs.Request:
    request = _request(
        options,
        lambda info: inputs.demo_request(
            info["embed_dim"], options.seed, options.labels or inputs.DEMO_SENTENCE
        ),
        with_labels=True,
    )
    if "head_output" in request.fields:
        raise inputs.InputError(f"{options.input} has a head_output, and so there are no weights to draw")
    return request


def _draw(viz, request: inputs.Request, answer: Answer, options) -> None:
    if request.problem:
        raise inputs.InputError(f"the service took the request, but it cannot be drawn: {request.problem}")
    _set_labels(request, options)
    drawn = viz.draw(
        request,
        answer,
        viz.Options(
            batch=options.batch,
            heads=options.heads,
            mean=options.mean,
            scale=options.scale,
            padding=options.padding,
            title=options.title,
            dpi=options.dpi,
            out=options.out,
        ),
    )
    if drawn.missing:
        print(
            f"attend: the picture's font has no glyphs for {' '.join(drawn.missing)}: a box stands for each",
            file=sys.stderr,
        )
    shape = " x ".join(map(str, answer.attn_weights.shape))
    print(
        f"{options.out}: {drawn.width} x {drawn.height} pixels, "
        f"weights {shape} of model {answer.model} ({request.source})"
    )


def _keep(request: inputs.Request, options) -> None:
    """Asks for the result to be kept, with the labels of the batch element that is to be shown: there is one list for
    all of them."""
    request.set("keep", True)
    _set_labels(request, options)
    for name in ("query_labels", "key_labels"):
        labels = getattr(request, name)
        if labels is not None and 0 <= options.batch < len(labels):
            request.set(name, labels[options.batch])


def _open(answer: Answer, request: inputs.Request) -> int:
    print(f"{answer.result_url}: the weights of model {answer.model} ({request.source}), kept for a while")
    sys.stdout.flush()  # before a browser in this terminal
    if not webbrowser.open(answer.result_url):
        print("attend: no browser could be opened; the address above is good in any", file=sys.stderr)
    return 0


def _set_labels(request: inputs.Request, options) -> None:
    batch = 1 if request.query.ndim == 2 else request.query.shape[0]
    if options.labels:
        request.query_labels = [options.labels.split()] * batch
        if request.is_self_attention:
            request.key_labels = request.query_labels
    if options.key_labels:
        request.key_labels = [options.key_labels.split()] * batch
