"""Sending one request: a module for each HTTP library, and nobody else imports that library.

Each is found by the scheme of the URL, through the entry points ``webhook_storage.transports``.
"""
