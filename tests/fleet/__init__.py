"""Real servers on loopback for the tests, each started by a context manager and a fixture."""
