"""A stand-in for Prefect 3: settings, profiles, and the client for reading blocks."""

__version__ = "3.8.8"
