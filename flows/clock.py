"""Clock: is this a cron expression of a time zone? Asked before a server is started for it."""

from __future__ import annotations

import re
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from superalign.errors import ConfigError

FIELDS = (("minute", 0, 59), ("hour", 0, 23), ("day", 1, 31), ("month", 1, 12), ("weekday", 0, 7))
PART = re.compile(r"(\*|\d{1,2}(-\d{1,2})?)(/\d{1,2})?|[A-Za-z]{3}(-[A-Za-z]{3})?")
EXAMPLE = 'write minute, hour, day, month and weekday, for example "0 2 * * 1": Mondays at two'


def check(cron: str, timezone: str) -> None:
    """ConfigError, naming the field, if ``cron`` is no cron expression or ``timezone`` no zone."""
    words = cron.split()
    if len(words) != len(FIELDS):
        raise ConfigError(f"--cron {cron!r} has {len(words)} fields and not {len(FIELDS)}; {EXAMPLE}")
    for word, (field, low, high) in zip(words, FIELDS, strict=True):
        for part in word.split(","):
            numbers = [int(number) for number in re.findall(r"\d+", part.partition("/")[0])]
            if not PART.fullmatch(part) or not all(low <= number <= high for number in numbers) or part.endswith(("/0", "/00")):
                raise ConfigError(f"--cron {cron!r}: {part!r} is no {field} from {low} to {high}; {EXAMPLE}")
    try:
        ZoneInfo(timezone)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ConfigError(f"--timezone {timezone!r} is no time zone; write one as in Europe/Berlin, or UTC") from error
