"""One writer of the sample traffic: which transaction comes next, and its statements.

Owns a share of the keys of each table, so that writers do not wait for each other. Values come
from the random numbers it was given, times from the server's clock. Refuses nothing that an
application would do: keys change, rows come back, transactions are rolled back after writing.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from random import Random
from uuid import UUID

import psycopg

Connection = psycopg.Connection[tuple[object, ...]]

# Enough keys to choose from, and a bound on what a writer remembers.
MAX_KEYS = 5_000
STATUSES = ("placed", "paid", "shipped", "delivered", "cancelled")


class TrafficWriter:
    """Runs one transaction after another on a connection that nobody else uses."""

    def __init__(self, connection: Connection, random: Random, share: int, shares: int) -> None:
        self._connection = connection
        self._random = random
        self._details = self._type_of_details()
        self._keys = {
            table: self._keys_of(table, share, shares) for table in ("widgets", "customers", "orders")
        }
        self._weighted: dict[Callable[[], None], int] = {
            self._append_events: 30,
            self._place_order: 20,
            self._change_status: 15,
            self._change_price: 10,
            self._rewrite_details: 6,
            self._rewrite_attributes: 4,
            self._add_customer: 5,
            self._change_email: 4,
            self._change_widget_key: 2,
            self._add_widget: 2,
            self._delete_order: 2,
            self._delete_widget: 1,
            self._delete_customer: 1,
            self._roll_back: 3,
        }
        self._operations = list(self._weighted)
        self._weights = list(self._weighted.values())
        connection.commit()

    def transaction(self) -> str:
        """Run the next transaction; returns what it did."""
        operation = self._random.choices(self._operations, self._weights)[0]
        operation()
        self._connection.commit()
        return operation.__name__.removeprefix("_")

    # --- additions -----------------------------------------------------------------------

    def _append_events(self) -> None:
        order = self._some_key("orders")
        self._events_of(order, self._random.randint(1, 20))

    def _place_order(self) -> None:
        """An order and its first events, in one transaction."""
        placed = self._returned(
            "INSERT INTO orders (customer_id, status, total, placed_at, details)"
            f" SELECT id, 'placed', %s, now(), %s::{self._details} FROM customers WHERE id = %s RETURNING id",
            [self._money(5000), self._order_details(), self._some_key("customers")],
        )
        if placed is not None:
            self._remember("orders", placed)
            self._events_of(placed, self._random.randint(1, 4))

    def _add_customer(self) -> None:
        key = UUID(int=self._random.getrandbits(128), version=4)
        number = self._random.randrange(10**6)
        self._run(
            "INSERT INTO customers (id, email, name, phone, created_at) VALUES (%s, %s, %s, %s, now())",
            [key, f"new{number}@example.com", f"Newcomer {number}", f"+49 160 {1_000_000 + number}"],
        )
        self._remember("customers", key)

    def _add_widget(self) -> None:
        added = self._returned(
            "INSERT INTO widgets (name, price, attributes) VALUES (%s, %s, %s) RETURNING id",
            [f"New widget {self._random.randrange(10**6)}", self._money(999), self._attributes()],
        )
        self._remember("widgets", added)

    # --- changes -------------------------------------------------------------------------

    def _change_status(self) -> None:
        self._run(
            "UPDATE orders SET status = %s::order_status WHERE id = %s",
            [self._random.choice(STATUSES), self._some_key("orders")],
        )

    def _change_price(self) -> None:
        """Leaves attributes that are stored out of line alone: the log does not carry them."""
        self._run(
            "UPDATE widgets SET price = %s WHERE id = %s", [self._money(999), self._some_key("widgets")]
        )

    def _rewrite_details(self) -> None:
        self._run(
            f"UPDATE orders SET details = %s::{self._details} WHERE id = %s",
            [self._order_details(), self._some_key("orders")],
        )

    def _rewrite_attributes(self) -> None:
        self._run(
            "UPDATE widgets SET attributes = %s WHERE id = %s",
            [self._attributes(), self._some_key("widgets")],
        )

    def _change_email(self) -> None:
        self._run(
            "UPDATE customers SET email = %s WHERE id = %s",
            [f"moved{self._random.randrange(10**6)}@example.com", self._some_key("customers")],
        )

    def _change_widget_key(self) -> None:
        old = self._forget("widgets")
        new = self._returned(
            "UPDATE widgets SET id = nextval(pg_get_serial_sequence('widgets', 'id'))"
            " WHERE id = %s RETURNING id",
            [old],
        )
        self._remember("widgets", new)

    # --- removals ------------------------------------------------------------------------

    def _delete_order(self) -> None:
        self._run("DELETE FROM orders WHERE id = %s", [self._forget("orders")])

    def _delete_widget(self) -> None:
        self._run("DELETE FROM widgets WHERE id = %s", [self._forget("widgets")])

    def _delete_customer(self) -> None:
        """Takes the customer's orders with it, in one transaction of many rows."""
        self._run("DELETE FROM customers WHERE id = %s", [self._forget("customers")])

    def _roll_back(self) -> None:
        """Writes that never happened: none of them may reach a projection."""
        self._run("UPDATE widgets SET price = 0 WHERE id = %s", [self._some_key("widgets")])
        self._events_of(self._some_key("orders"), 5)
        self._run("DELETE FROM orders WHERE id = %s", [self._some_key("orders")])
        self._connection.rollback()

    # --- statements, keys, values --------------------------------------------------------

    def _events_of(self, order: object, count: int) -> None:
        payload = f"{self._random.getrandbits(256):064x}" * 3
        self._run(
            "INSERT INTO order_events"
            " (aggregate_id, event_timestamp, version, conversation_id, created_at, event_data)"
            " SELECT %s, now(), i, %s, (now() AT TIME ZONE 'UTC')::date, %s FROM generate_series(1, %s) i",
            [
                order,
                UUID(int=self._random.getrandbits(128), version=4),
                json.dumps({"type": "OrderLineAdded", "order": order, "payload": payload}),
                count,
            ],
        )

    def _run(self, statement: str, values: list[object]) -> None:
        self._connection.execute(statement.encode(), values)

    def _returned(self, statement: str, values: list[object]) -> object | None:
        row = self._connection.execute(statement.encode(), values).fetchone()
        return None if row is None else row[0]

    def _type_of_details(self) -> object:
        return self._returned(
            "SELECT format_type(atttypid, NULL) FROM pg_attribute"
            " WHERE attrelid = 'orders'::regclass AND attname = %s",
            ["details"],
        )

    def _keys_of(self, table: str, share: int, shares: int) -> list[object]:
        statement = f"SELECT id FROM {table} ORDER BY id LIMIT {MAX_KEYS * shares}"
        rows = self._connection.execute(statement.encode()).fetchall()
        return [key for (key,) in rows][share::shares]

    def _some_key(self, table: str) -> object:
        keys = self._keys[table]
        return self._random.choice(keys) if keys else None

    def _forget(self, table: str) -> object:
        keys = self._keys[table]
        return keys.pop(self._random.randrange(len(keys))) if keys else None

    def _remember(self, table: str, key: object) -> None:
        keys = self._keys[table]
        if key is not None and len(keys) < MAX_KEYS * 2:
            keys.append(key)

    def _money(self, below: int) -> str:
        return f"{self._random.randrange(100, below * 100) / 100:.2f}"

    def _order_details(self) -> str:
        lines = "".join(
            f'<line widget="{self._random.randint(1, 2000)}" quantity="{self._random.randint(1, 9)}"/>'
            for _ in range(self._random.randint(1, 5))
        )
        return f"<order>{lines}</order>"

    def _attributes(self) -> str:
        """Every third one is beyond 2 kB and is stored out of line."""
        length = self._random.choice((0, 0, 6_000))
        notes = f"{self._random.getrandbits(4 * length):0{length}x}" if length else ""
        return json.dumps({"weight_g": self._random.randrange(5000), "notes": notes})
