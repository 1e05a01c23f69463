from __future__ import annotations

from collections.abc import Callable
from functools import partial

import msgspec
import pytest
from rolehost_kafka.settings import KafkaSettings
from rolehost_kafka.stream import KafkaStream
from rolehost_testing.conformance import StreamConformance


class TestKafkaPython(StreamConformance):
    @pytest.fixture
    def make_backend(self, settings: KafkaSettings) -> Callable[[], KafkaStream]:
        return partial(KafkaStream, settings)


class TestConfluent(StreamConformance):
    @pytest.fixture
    def make_backend(self, settings: KafkaSettings) -> Callable[[], KafkaStream]:
        return partial(KafkaStream, msgspec.structs.replace(settings, client="confluent"))
