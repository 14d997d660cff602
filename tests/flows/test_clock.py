from __future__ import annotations

import pytest

from flows.clock import check
from superalign.errors import ConfigError


@pytest.mark.parametrize("cron", ["0 2 * * 1", "*/15 * * * *", "0 0 1,15 * MON-FRI", "30 4-6 * JAN 7"])
def test_a_cron_expression_is_taken(cron: str) -> None:
    check(cron, "Europe/Berlin")


@pytest.mark.parametrize(
    ("cron", "said"),
    [
        ("0 2 * *", "4 fields"),
        ("60 2 * * *", "'60' is no minute"),
        ("0 2 * * 8", "weekday"),
        ("x * * * *", "'x'"),
        ("*/0 * * * *", "minute"),
    ],
)
def test_a_wrong_cron_expression_names_the_field(cron: str, said: str) -> None:
    with pytest.raises(ConfigError, match="--cron") as caught:
        check(cron, "UTC")
    assert said in str(caught.value)


def test_a_wrong_time_zone_is_named() -> None:
    with pytest.raises(ConfigError, match="Berlin"):
        check("0 2 * * 1", "Berlin")
