"""Ready storages, one file or folder a vendor.

Rule: a preset describes requests and sends none. It is found by its entry point, or imported from
its own module, so that nobody pays for a vendor that is not used.
"""
