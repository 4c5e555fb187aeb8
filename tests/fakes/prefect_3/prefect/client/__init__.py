"""As in Prefect, a package of clients."""
