from __future__ import annotations

import psycopg2
import pytest
from rolehost.api import StorageError
from rolehost_postgres.queue import PostgresQueue
from rolehost_postgres.settings import PostgresSettings

PATIENCE = 20.0


def test_a_listener_that_was_cut_off_is_woken_with_all_its_names_and_goes_on(
    url: str, settings: PostgresSettings
) -> None:
    queue = PostgresQueue(settings)
    listener = queue.listen({"queue:a", "outbox"})
    admin = psycopg2.connect(url)
    admin.autocommit = True
    with admin.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
            " WHERE application_name = 'rolehost queue' AND query LIKE 'LISTEN%'"
        )
        assert cursor.fetchall() == [(True,)]
    admin.close()
    assert listener.wait(PATIENCE) == {"queue:a", "outbox"}
    queue.wake(["queue:a"])
    assert listener.wait(PATIENCE) == {"queue:a"}
    queue.close()


def test_after_closing_nobody_listens(settings: PostgresSettings) -> None:
    queue = PostgresQueue(settings)
    queue.close()
    with pytest.raises(StorageError):
        queue.listen({"queue:a"})


def test_it_says_that_it_carries_no_messages(settings: PostgresSettings) -> None:
    queue = PostgresQueue(settings)
    assert queue.depth("default") == 0
    queue.close()
