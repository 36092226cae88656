"""The server side of OpenAI's Responses API: requests in, response objects and their streams out.

The form is that of OpenAI's API reference (Responses), as the types of its Python package 2.x have it; LM Studio's
differences are in its documentation. The client side is `lmbridge.wire.openai.responses`.
"""
