"""The embedded engine: llama.cpp in a child process of its own for each loaded model, and its supervisor."""
