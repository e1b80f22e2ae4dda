"""The whole demo as a list of deeds, day by day: what is put at the vendors, and the webhooks they send."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from tools.demo import shopify_shapes, square_shapes
from tools.demo.baskets import DAYS, Shopping, read_shopping
from tools.demo.chain import stores_of
from tools.demo.happenings import Happenings
from tools.demo.hooks import Deed, Hook
from tools.demo.ringing import person_of, ring_up
from tools.demo.till import Count, GiveBack, Person, Sale, Store, chance

COUNTED_GOODS = 3
DAMAGED_TIME = "half past one"
_SHAPES: dict[str, Any] = {"square": square_shapes, "shopify": shopify_shapes}


@dataclass(frozen=True)
class Story:
    """Everything that will happen. `master` is what the vendors hold before the first day."""

    shopping: Shopping
    stores: tuple[Store, ...]
    happenings: Happenings
    master: dict[str, dict[str, list[Any]]]
    days: tuple[tuple[Deed, ...], ...]
    repaired: Deed

    @property
    def sales(self) -> list[Sale]:
        """All sales as they turned out."""
        return list(self.happenings.sales.values())

    @property
    def first_day(self) -> date:
        """The first business day."""
        return self.shopping.first_day


def last_business_day(now: datetime) -> date:
    """Yesterday, as seen from the westernmost store, whose day ends last."""
    return (now.astimezone(ZoneInfo("America/Los_Angeles")) - timedelta(hours=3)).date() - timedelta(days=1)


def tell(last_day: date) -> Story:
    """The story whose last day is that one; the same for the same day."""
    shopping = read_shopping(last_day)
    stores = stores_of(shopping)
    people = _people(shopping, stores)
    sales = [ring_up(each, stores[each.store], people.get(_who(each, stores))) for each in shopping.baskets]
    happenings = Happenings(sales)
    begin = datetime.combine(shopping.first_day, datetime.min.time(), ZoneInfo("UTC")) - timedelta(days=2)
    days: dict[int, list[Deed]] = defaultdict(list)
    unreadable = happenings.unreadable_order
    repaired = shopify_shapes.sale_deed(unreadable)
    for deed in _deeds(happenings, people, stores):
        days[deed.day].append(_damaged(deed) if deed.tells == unreadable.id else deed)
    return Story(
        shopping=shopping,
        stores=tuple(stores.values()),
        happenings=happenings,
        master=_master(stores, sales, begin),
        days=tuple(tuple(sorted(days[day], key=lambda deed: (deed.at, deed.tells))) for day in range(DAYS)),
        repaired=replace(repaired, hooks=repaired.hooks[-1:]),
    )


def _who(basket: Any, stores: dict[int, Store]) -> tuple[str, int]:
    return stores[basket.store].vendor, basket.household


def _people(shopping: Shopping, stores: dict[int, Store]) -> dict[tuple[str, int], Person]:
    """The known customers, each since the first visit."""
    found: dict[tuple[str, int], Person] = {}
    for basket in shopping.baskets:
        who = _who(basket, stores)
        zone = ZoneInfo(stores[basket.store].timezone)
        if who not in found and (person := person_of(basket.household, who[0], basket.wall.replace(tzinfo=zone))):
            found[who] = person
    return found


def _master(stores: dict[int, Store], sales: list[Sale], begin: datetime) -> dict[str, dict[str, list[Any]]]:
    def of(vendor: str) -> tuple[list[Store], list[Any]]:
        mine = [store for store in stores.values() if store.vendor == vendor]
        return mine, [line for sale in sales if sale.store.vendor == vendor for line in sale.lines]

    places, lines = of("square")
    shops, wares = of("shopify")
    return {
        "square": {
            "locations": square_shapes.locations(places),
            "catalog": square_shapes.catalogue(lines, begin),
        },
        "shopify": {
            "shop": shopify_shapes.shop(),  # type: ignore[dict-item]
            "locations": shopify_shapes.locations(shops),
            "products": shopify_shapes.products(wares, begin),
        },
    }


def _deeds(happenings: Happenings, people: dict[tuple[str, int], Person], stores: dict[int, Store]) -> Iterator[Deed]:
    exchanged = {back.new.id: back for back in happenings.give_backs if back.new}
    changed_later = {sale.id for sale, _ in happenings.tips_changed}
    voided = {sale.id for sale in happenings.voids}
    for sale in happenings.sales.values():
        day = happenings.feed_day.get(sale.id, sale.day)
        if sale.store.vendor == "square":
            back = exchanged.get(sale.id)
            deed = square_shapes.sale_deed(sale, back)
        else:
            # Cancelled later: first told as it was then.
            deed = shopify_shapes.sale_deed(replace(sale, voided_at=None) if sale.id in voided else sale)
        yield replace(deed, day=day)
        if sale.id in voided:
            yield shopify_shapes.void_deed(sale)
    assert changed_later <= set(happenings.sales)
    for sale, day in happenings.tips_changed:
        yield square_shapes.changed_deed(sale, day)
    earlier: dict[str, list[GiveBack]] = defaultdict(list)
    for back in sorted((each for each in happenings.give_backs if not each.new), key=lambda each: each.at):
        yield _SHAPES[back.sale.store.vendor].refund_deed(back, earlier[back.sale.id])
        earlier[back.sale.id].append(back)
    yield from _customers(happenings, people)
    yield from _counts(happenings, stores)


def _customers(happenings: Happenings, people: dict[tuple[str, int], Person]) -> Iterator[Deed]:
    """Each becomes known at the first purchase; one in twenty has a new number two days later."""
    first: dict[tuple[str, str], Sale] = {}
    for sale in happenings.sales.values():
        if sale.person:
            known = first.get((sale.person.vendor, sale.person.id))
            if known is None or sale.at < known.at:
                first[sale.person.vendor, sale.person.id] = sale
    for person in people.values():
        sale = first[person.vendor, person.id]
        shapes = _SHAPES[person.vendor]
        yield shapes.customer_deed(person, sale.day, sale.at - timedelta(minutes=1))
        dice = chance("moved", person.id)
        if dice.random() < 0.05 and sale.day + 2 < DAYS:
            moved = replace(person, version=1, phone=f"{person.phone[:-2]}{dice.randint(0, 99):02d}")
            yield shapes.customer_deed(moved, sale.day + 2, sale.at + timedelta(days=2))


def _counts(happenings: Happenings, stores: dict[int, Store]) -> Iterator[Deed]:
    """Every evening each store counts the three kinds of goods that it sells most."""
    sold: dict[int, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for sale in happenings.sales.values():
        for line in sale.lines:
            if line.goods:
                sold[sale.store.number][line.goods] += 1
    for number, store in stores.items():
        most = sorted(sold[number], key=lambda goods: (-sold[number][goods], goods))[:COUNTED_GOODS]
        opened = min(sale.at for sale in happenings.sales.values() if sale.store.number == number).date()
        for day in range(DAYS):
            evening = datetime.combine(opened, datetime.min.time(), ZoneInfo(store.timezone))
            at = evening + timedelta(days=day, hours=21, minutes=number % 60)
            counts = [
                Count(store, day, at, goods, chance("count", number, goods, day).randint(5, 120)) for goods in most
            ]
            yield _SHAPES[store.vendor].stock_deed(counts)


def _damaged(deed: Deed) -> Deed:
    """The order as a faulty app wrote it, with a time that is none; told once, so that it is one dead letter."""
    orders = [{**order, "processed_at": DAMAGED_TIME} for order in deed.load["shopify"]["orders"]]
    return replace(deed, load={"shopify": {"orders": orders}}, hooks=deed.hooks[:1])


def all_hooks(story: Story) -> Iterator[Hook]:
    """Every webhook of the story."""
    for day in story.days:
        for deed in day:
            yield from deed.hooks
