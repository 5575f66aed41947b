"""The table on which every metric is tried."""

from tests.metrics.conftest import small_table

__all__ = ["small_table"]
