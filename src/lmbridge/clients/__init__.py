"""ASKING: one file per language we speak to a server over HTTP, and the lean HTTP client below them."""
