"""The fold, the read models on every engine, their projectors, the Tool Registry and the verification."""

import pytest

pytest.register_assert_rewrite("tests.projections.contract")
