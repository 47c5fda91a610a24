"""Times of the log, as a person reads them."""

from __future__ import annotations

from datetime import datetime


def local_time(utc: str) -> str:
    """Return a time that is kept in UTC, as ISO 8601, in that of the user, to the minute."""
    try:
        return f"{datetime.fromisoformat(utc).astimezone():%Y-%m-%d %H:%M}"
    except ValueError:  # written by hand
        return utc
