"""A crash at every dangerous place loses nothing and doubles nothing: `python -m tests.failpoints`."""
