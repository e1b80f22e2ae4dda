"""Time: days of 23 and 25 hours, cut-offs, and tills whose clock runs ahead."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from libs.canonical.moments import TimeError, business_day, day_end, micros, parse_time, settle, zone

NEW_YORK, BERLIN, FOUR = "America/New_York", "Europe/Berlin", time(4)


@pytest.mark.parametrize(
    ("where", "day", "hours"),
    [
        (NEW_YORK, date(2026, 3, 7), 23), (NEW_YORK, date(2026, 10, 31), 25), (NEW_YORK, date(2026, 11, 1), 24),
        (BERLIN, date(2026, 3, 28), 23), (BERLIN, date(2026, 10, 24), 25), (BERLIN, date(2026, 10, 25), 24),
    ],
)  # fmt: skip
def test_length_of_a_day_with_cut_off_at_four(where: str, day: date, hours: int) -> None:
    """The clock changes at night, before the cut-off: it is the evening's business day that is short or long."""
    begin, end = day_end(day - timedelta(days=1), zone(where), FOUR), day_end(day, zone(where), FOUR)
    assert end - begin == timedelta(hours=hours)
    assert business_day(begin, zone(where), FOUR) == day
    assert business_day(end - timedelta(microseconds=1), zone(where), FOUR) == day
    assert business_day(end, zone(where), FOUR) == day + timedelta(days=1)


@pytest.mark.parametrize(
    ("where", "day", "hours"), [(NEW_YORK, date(2026, 3, 8), 23), (BERLIN, date(2026, 10, 25), 25)]
)
def test_length_of_a_day_that_changes_at_midnight(where: str, day: date, hours: int) -> None:
    """Without a cut-off it is the calendar day."""
    assert day_end(day, zone(where)) - day_end(day - timedelta(days=1), zone(where)) == timedelta(hours=hours)


@given(
    st.integers(0, 4 * 365 * 24 * 60).map(
        lambda minutes: datetime(2024, 1, 1, tzinfo=UTC) + timedelta(minutes=minutes)
    ),
    st.sampled_from((NEW_YORK, BERLIN, "Asia/Kolkata", "Africa/Cairo", "Australia/Lord_Howe", "America/Havana")),
    st.times().map(lambda t: t.replace(second=0, microsecond=0)),
)
@example(datetime(2026, 11, 1, 6, 15, tzinfo=UTC), NEW_YORK, time(1, 30))  # a quarter past one, the second time
@example(datetime(2026, 3, 29, 1, 10, tzinfo=UTC), BERLIN, time(2, 30))  # a cut-off that does not exist that night
def test_every_moment_lies_inside_its_business_day(moment: datetime, where: str, cut_off: time) -> None:
    """The day a sale is booked on is the day whose span it lies in, whatever the cut-off: no sale after its close."""
    day = business_day(moment, zone(where), cut_off)
    assert day_end(day - timedelta(days=1), zone(where), cut_off) <= moment < day_end(day, zone(where), cut_off)


def test_before_the_cut_off_it_is_the_day_before() -> None:
    """A beer at half past three belongs to the evening."""
    night = datetime(2026, 11, 20, 3, 30, tzinfo=ZoneInfo(NEW_YORK))
    assert business_day(night, zone(NEW_YORK), FOUR) == date(2026, 11, 19)
    assert business_day(night + timedelta(minutes=30), zone(NEW_YORK), FOUR) == date(2026, 11, 20)
    assert business_day(night, zone(NEW_YORK)) == date(2026, 11, 20)


def test_a_till_far_ahead_is_not_believed() -> None:
    """Five minutes ahead of the vendor's record are tolerated; more, and the record decides and it is flagged."""
    recorded = datetime(2026, 11, 18, 12, tzinfo=UTC)
    near, far = recorded + timedelta(minutes=5), recorded + timedelta(minutes=5, microseconds=1)
    assert settle(near, recorded) == (near, False)
    assert settle(far, recorded) == (recorded, True)
    long_ago = recorded - timedelta(days=9)
    assert settle(long_ago, recorded) == (long_ago, False), "an offline sale is sent days later: the till is right"
    assert settle(far, None) == (far, False)


@pytest.mark.parametrize(
    "text",
    ["2026-11-18T12:00:00Z", "2026-11-18T07:00:00-05:00", "2026-11-18T12:00:00.000000000Z", "2026-11-18T12:00:00.0+00"],
)
def test_times_are_read_into_utc(text: str) -> None:
    """Offsets and fractions as vendors write them."""
    assert parse_time(text) == datetime(2026, 11, 18, 12, tzinfo=UTC)
    assert parse_time(text).tzinfo is UTC


@pytest.mark.parametrize("text", ["2026-11-18T12:00:00", "2026-11-18", "noon", "", None, 1700000000])
def test_a_time_without_a_zone_is_none(text: str) -> None:
    """Nobody guesses a zone."""
    with pytest.raises(TimeError):
        parse_time(text)


@pytest.mark.parametrize("name", ["", "Mars/Olympus", "../etc/passwd", "America", "\0"])
def test_unknown_zones_are_refused(name: str) -> None:
    """Also names that are folders or no names at all."""
    with pytest.raises(TimeError):
        zone(name)


def test_micros_are_exact_and_comparable() -> None:
    """One microsecond makes a newer version, before 1970 too."""
    moment = datetime(2026, 11, 18, 12, 0, 0, 123457, tzinfo=UTC)
    assert micros(moment) - micros(moment - timedelta(microseconds=1)) == 1
    assert micros(datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC)) == -1_000_000
