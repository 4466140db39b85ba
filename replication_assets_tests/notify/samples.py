"""Notifications as the watch makes them."""

from __future__ import annotations

import datetime as dt

from replication_assets.ports.watch import Notification

AT = dt.datetime(2026, 3, 4, 5, 6, 7, tzinfo=dt.UTC)
LAG = Notification(
    "id-1",
    "lag",
    "started",
    "shop",
    "capture is 400 s behind the source",
    "see whether the capture runs",
    AT,
    AT,
)
SLOT = Notification(
    "id-2", "slot", "resolved", "shop", "over: 1.0 GiB left — größer", "", AT, AT + dt.timedelta(hours=1)
)
