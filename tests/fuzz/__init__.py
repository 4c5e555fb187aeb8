"""Parsers fed with anything, for as long as one likes: ``python -m tests.fuzz``."""
