"""Changes that pile up while nobody captures: what a capture finds after it was down for a while.

Made by the server itself, much faster than an application would, in transactions of ordinary
size: 100 order events and 50 changed orders each.
"""

from __future__ import annotations

import psycopg

EVENTS = 100
ORDERS = 50

_TRANSACTIONS = """
DO $$
DECLARE
    first bigint := (SELECT min(id) FROM orders);
    many bigint := (SELECT max(id) - min(id) + 1 FROM orders);
BEGIN
    FOR number IN 1..{transactions} LOOP
        INSERT INTO order_events
            (aggregate_id, event_timestamp, version, conversation_id, created_at, event_data)
        SELECT first + mod(number * {events} + i, many), now(), i, md5('backlog ' || number)::uuid,
               (now() AT TIME ZONE 'UTC')::date,
               '{{"type": "OrderLineAdded", "payload": "' || repeat(md5(number || '.' || i), 7) || '"}}'
        FROM generate_series(1, {events}) i;
        UPDATE orders SET status = 'delivered', total = total + 1
        WHERE id >= first + mod(number * {orders}, many)
          AND id < first + mod(number * {orders}, many) + {orders};
        COMMIT;
    END LOOP;
END $$
"""


def pile_up(dsn: str, *, transactions: int) -> None:
    """Commit that many transactions, one after another."""
    statement = _TRANSACTIONS.format(transactions=transactions, events=EVENTS, orders=ORDERS)
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(statement.encode())
