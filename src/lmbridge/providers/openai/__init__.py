"""Any server that speaks OpenAI's language, and what is known of some of them."""

from lmbridge.providers.openai.provider import OpenAIProvider

__all__ = ["OpenAIProvider"]
