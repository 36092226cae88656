"""The OpenAI language, and what llama.cpp adds to it: requests, answers, errors, and a tap on relayed bytes."""
