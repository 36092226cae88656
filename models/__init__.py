"""How the built-in models are made: text, training, export, measuring."""
