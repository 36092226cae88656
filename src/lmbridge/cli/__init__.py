"""THE KEYBOARD: one file (or folder) per command. `render` is the only place that prints."""
