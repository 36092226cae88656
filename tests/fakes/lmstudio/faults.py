"""What can go wrong with a fake LM Studio, and when it does.

`fake.fault = NAME` makes every route misbehave until it is set to ""; `fake.inject(NAME, route=…, model=…,
times=…)` only some requests. A fault that has no meaning for a route leaves its answers as they are: `FAULTS`
tells where each applies.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

Where = Literal["connection", "answer", "stream", "embeddings", "load", "download", "list", "inference"]


class Fault(Struct, frozen=True):
    """A way to misbehave.

    Attributes:
        where: what it applies to; `connection` and `answer` are of every route, `inference` of every route
            that a model answers.
        harmless: a client must get the right answer all the same.
    """

    where: Where
    what: str
    harmless: bool = False


FAULTS = {
    # connections
    "refuse": Fault("connection", "nothing listens on the port, and open connections are closed"),
    "hang": Fault("connection", "reads the request and never answers"),
    "hangup": Fault("connection", "reads the request and closes"),
    "reset": Fault("connection", "reads the request and resets the connection"),
    "reset-idle": Fault("connection", "resets a connection that is used a second time", harmless=True),
    "not-http": Fault("connection", "answers in no language at all"),
    "torn-head": Fault("connection", "closes in the middle of the head of its answer"),
    "bytes": Fault("connection", "sends every byte, and chunk, by itself", harmless=True),
    "split-utf8": Fault("connection", "sends what it says in pieces that end within characters", harmless=True),
    # answers, whole or streamed
    "web-page": Fault("answer", "sends a web page with status 200, as another program on the port does"),
    "web-page-500": Fault("answer", "sends a web page with status 500, as a proxy does"),
    "500": Fault("answer", "refuses with status 500 and an error of its own"),
    "503": Fault("answer", "refuses with status 503 and no body"),
    "401": Fault("answer", "refuses the token and repeats the beginning of it"),
    "403": Fault("answer", "refuses the token's permissions"),
    "redirect": Fault("answer", "sends the client to another address"),
    "error-200": Fault("answer", "reports an unknown route with status 200"),
    "error-200-object": Fault("answer", "reports an error object with status 200"),
    "empty-body": Fault("answer", "sends status 200 and no body"),
    "not-json": Fault("answer", "sends something else than JSON and calls it JSON"),
    "half-json": Fault("answer", "sends the first half of its JSON as if it were all"),
    "cut-body": Fault("answer", "closes in the middle of a body whose length it told"),
    "huge-body": Fault("answer", "sends a body without end"),
    "null": Fault("answer", "sends `null`"),
    "a-list": Fault("answer", "sends a list where an object is expected"),
    "missing-keys": Fault("answer", "sends an object without any key"),
    "wrong-types": Fault("answer", "sends numbers for texts, texts for lists"),
    "wrong-content-type": Fault("answer", "sends the right answer as text/plain", harmless=True),
    "unknown-keys": Fault("answer", "adds keys that nobody knows to every object", harmless=True),
    "bom": Fault("answer", "puts a byte order mark before its answer", harmless=True),
    # streams
    "cut": Fault("stream", "ends in the middle, properly ended chunks and all"),
    "reset-mid": Fault("stream", "resets the connection in the middle"),
    "torn": Fault("stream", "closes in the middle of an event"),
    "hang-mid": Fault("stream", "sends two words, then nothing more"),
    "garbage-event": Fault("stream", "sends an event that is not JSON"),
    "not-sse": Fault("stream", "sends lines that are no events"),
    "error-event": Fault("stream", "reports an error in an event, as an object"),
    "error-string": Fault("stream", "reports an error in an event, as a string"),
    "overflow-event": Fault("stream", "reports in an event that the context is full"),
    "mistyped-event": Fault("stream", "sends an event whose text is a number"),
    "bad-utf8": Fault("stream", "puts bytes that are no UTF-8 into what it says"),
    "huge-event": Fault("stream", "sends an event larger than any decoder takes"),
    "no-finish": Fault("stream", "ends properly without saying that the answer is finished"),
    "empty-stream": Fault("stream", "ends before the first event"),
    "no-done": Fault("stream", "ends without [DONE], the answer being finished", harmless=True),
    "no-final-newline": Fault("stream", "ends without the empty line after the last event", harmless=True),
    "crlf": Fault("stream", "ends its lines as Windows does", harmless=True),
    "comments": Fault("stream", "sends comments, retry times and ids between its events", harmless=True),
    "unknown-event": Fault("stream", "sends events that nobody knows", harmless=True),
    "keeps-open": Fault("stream", "leaves the connection open after the last event", harmless=True),
    "unstreamed": Fault("stream", "answers with one JSON object although a stream was asked for", harmless=True),
    # inference
    "wrong-model": Fault("inference", "answers by another model than the one asked"),
    "no-content": Fault("inference", "finishes without having said anything"),
    "overflow": Fault("inference", "says that the prompt is too long, as each route does"),
    "crash": Fault("inference", "says that the model has crashed"),
    "engine": Fault("inference", "says that the engine refused, the engine's own words inside"),
    "unloaded": Fault("inference", "says that no model is loaded"),
    # embeddings
    "short-vectors": Fault("embeddings", "returns one vector too few"),
    "uneven-vectors": Fault("embeddings", "returns vectors of different lengths"),
    "shuffled-vectors": Fault("embeddings", "returns the vectors in another order, numbered rightly", True),
    "base64-vectors": Fault("embeddings", "returns a text where numbers are expected"),
    # management
    "load-fails": Fault("load", "the engine would not load the model"),
    "loads-other": Fault("load", "says that it loaded another model"),
    "not-loaded": Fault("load", "says that it loaded, and has not"),
    "vanishes": Fault("list", "lists no models at all"),
    "job-lost": Fault("download", "does not know its own job any more"),
    "download-fails": Fault("download", "the job ends as failed"),
    "download-pauses": Fault("download", "the job is paused and stays so"),
    "download-unsized": Fault("download", "the job never tells a size", harmless=True),
    "download-verifies": Fault("download", "the job has a state that nobody knows for a while", harmless=True),
    "download-vanishes": Fault("download", "the job completes, and the model is not there"),
}


class Injected(Struct):
    """A fault that waits for its requests. Empty: any. *times*: how often it strikes; None: always."""

    fault: str
    route: str = ""
    model: str = ""
    times: int | None = None

    def strikes(self, route: str, model: object) -> bool:
        """Whether it is for this request."""
        if self.times == 0 or (self.route and not route.startswith(self.route)):
            return False
        return not self.model or self.model == model


class Faults:
    """The faults switched on."""

    def __init__(self) -> None:
        self.injected: list[Injected] = []

    def add(self, fault: str, route: str, model: str, times: int | None) -> None:
        if fault not in FAULTS:
            raise ValueError(f"no fault is called {fault!r}; see FAULTS")
        self.injected.append(Injected(fault, route, model, times))

    def next(self, route: str, model: object) -> str:
        """The fault that strikes a request, "" for none; counts it."""
        found = next((each for each in self.injected if each.strikes(route, model)), None)
        if found is None:
            return ""
        if found.times is not None:
            found.times -= 1
        return found.fault
