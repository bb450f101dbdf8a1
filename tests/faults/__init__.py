"""Faults under load, judged by a history outside the product: `./justw faults`, and a short run in the tests."""
