"""How LM Studio refuses: one exception, and the four families of bodies it is told in."""

from __future__ import annotations

from tests.fakes.lmstudio.models import Body

OVERFLOW = (
    "The number of tokens to keep from the initial prompt is greater than the context length"
    " (n_keep: {needed}>= n_ctx: {room}). Load the model with a larger context length, or send a shorter input."
)
CRASHED = "The model has crashed without additional information. (Exit code: 11)"


class Refusal(Exception):
    """An answer with an error. *indent*: spaces of its JSON, as each family has its own layout."""

    def __init__(self, status: int, body: Body, indent: int | None = 2) -> None:
        self.status, self.body, self.indent = status, body, indent
        super().__init__(str(body))


def native(status: int, kind: str, message: str, code: str | None = None, param: str | None = None) -> Refusal:
    """`/api/v1/*`."""
    return Refusal(status, {"error": {"message": message, "type": kind, "code": code, "param": param}})


def openai(
    status: int, kind: str, message: str, code: str | None = None, param: str | None = None, indent: int = 2
) -> Refusal:
    """`/v1/responses`, and what is wrong with the model elsewhere below `/v1`."""
    return Refusal(status, {"error": {"message": message, "type": kind, "param": param, "code": code}}, indent)


def text(message: str, status: int = 400) -> Refusal:
    """Most other errors below `/v1`: the error is a bare string."""
    return Refusal(status, {"error": message})


def unexpected(method: str, path: str) -> Refusal:
    """A path or method it does not know: status 200 all the same."""
    return Refusal(200, {"error": f"Unexpected endpoint or method. ({method} {path})"}, None)


def key(status: int, message: str) -> Refusal:
    """The token is missing, malformed or unknown."""
    return Refusal(status, {"error": {"type": "invalid_request", "code": "invalid_api_key", "message": message}})


def invalid_model(name: str, examples: list[str]) -> Refusal:
    """Several are loaded, and the name is of none."""
    shown = ", ".join(examples[:3])
    message = f'Invalid model identifier "{name}". There are no downloaded models of that name. Loaded: {shown}.'
    return openai(400, "invalid_request_error", message, "model_not_found", "model", 4)


def no_models() -> Refusal:
    """Nothing is loaded, and nothing could be."""
    message = "No models loaded. Please load a model in the developer page or use the 'lms load' command."
    return openai(400, "invalid_request_error", message, "model_not_found", "model", 4)
