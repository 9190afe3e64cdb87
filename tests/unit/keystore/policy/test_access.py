"""Who may make a call at all, and in which words he is told that he may not."""

from __future__ import annotations

import pytest
from gateway.v1 import common_pb2
from tests.golden import Golden  # type: ignore[import-not-found]
