"""A stand-in for Prefect 1: the configuration, and the context that each thread has for itself."""

from .configuration import config
from .context import context

__version__ = "1.4.1"
__all__ = ["config", "context"]
