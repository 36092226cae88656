"""`lmbridge connect` and `lmbridge disconnect`: other programs are told of the gateway, and made to forget it."""
