"""Sets the switches of tasks/__init__.py before any test file imports a library that reads them."""

import os

import tasks  # noqa: F401

os.environ.setdefault("LUTHIER_DEVICE_SLOTS", "16")  # toys wait for no training that runs beside the tests
