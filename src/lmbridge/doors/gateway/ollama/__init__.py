"""The door in Ollama's language: `/api/tags`, `/api/chat` and what else stands directly below `/api/`."""

from lmbridge.doors.gateway.ollama.family import OLLAMA
from lmbridge.doors.gateway.ollama.routes import OllamaRoutes

__all__ = ["OLLAMA", "OllamaRoutes"]
