"""The places where secrets live that this distribution knows, one module a place.

Rule: a module imports the core's contracts and its own client library, that one only when asked.
"""
