"""Any server that speaks Anthropic's language: Anthropic's own, a proxy before it, or another lmbridge."""

from lmbridge.providers.anthropic.provider import AnthropicProvider

__all__ = ["AnthropicProvider"]
