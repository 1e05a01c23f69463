from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
from rolehost.testing.conformance import StreamConformance
from rolehost_kafka.settings import KafkaSettings
from rolehost_kafka.stream import KafkaStream


class TestKafkaStream(StreamConformance):
    @pytest.fixture
    def make_backend(self, settings: KafkaSettings) -> Callable[[], KafkaStream]:
        return partial(KafkaStream, settings)
