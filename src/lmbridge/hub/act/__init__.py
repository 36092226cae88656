"""A model with tools, round by round until it stops: what is decided (`policy`), and what does it (`run`)."""
