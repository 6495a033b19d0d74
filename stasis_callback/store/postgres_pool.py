"""Peewee's pool of psycopg connections, with fewer journeys to the server and back. Imported with PostgreSQL only."""

from __future__ import annotations

import select
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from peewee import DatabaseError, __exception_wrapper__  # type: ignore[attr-defined]  # the stubs leave it out
from playhouse.postgres_ext import PooledPsycopg3Database


class PostgresPool(PooledPsycopg3Database):  # type: ignore[misc]  # the stubs do not know it
    """The pool. What peewee builds is done when its call returns; for what `run` sends see `pipelined`."""

    def __init__(self, *words: Any, **options: Any) -> None:
        super().__init__(*words, **options)
        self._here = threading.local()

    @contextmanager
    def pipelined(self) -> Iterator[None]:
        """For a transaction: statements leave one after the other, and only a result that is read is waited for.

        So BEGIN travels with what follows it, and COMMIT with what comes before. An error is raised where the next
        result is read, at the end of the block at the latest.
        """
        connection = self.connection()
        with __exception_wrapper__:
            try:
                with connection.pipeline() as self._here.pipeline:
                    yield
            except BaseException:
                # After a statement that failed, the server has skipped all others, COMMIT too.
                connection.rollback()
                raise
            finally:
                self._here.pipeline = None

    def execute(self, query: Any, *words: Any, **options: Any) -> Any:
        """Run what peewee has built, which looks at the number of rows and at the columns of the result."""
        cursor = super().execute(query, *words, **options)
        self._arrive()
        return cursor

    def rollback(self) -> None:
        """Undo what has arrived. An error that is on its way back is the one that led here, or comes too late."""
        with suppress(DatabaseError):
            self._arrive()
        with __exception_wrapper__:
            self.connection().rollback()

    def _arrive(self) -> None:
        """Wait for all that was sent."""
        pipeline = getattr(self._here, "pipeline", None)
        if pipeline is not None:
            with __exception_wrapper__:
                pipeline.sync()

    def _is_closed(self, connection: Any) -> bool:
        """Whether a connection that waited in the pool is broken.

        Peewee asks the server each time. A server that goes says so, or its kernel does: only then it is asked.
        """
        if connection.closed:
            return True
        poller = select.poll()
        poller.register(connection, select.POLLIN)
        return bool(poller.poll(0)) and bool(super()._is_closed(connection))
