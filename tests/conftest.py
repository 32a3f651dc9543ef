"""Sets the switches of tasks/__init__.py before any test file imports a library that reads them."""

import tasks  # noqa: F401
