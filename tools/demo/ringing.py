"""From a real basket to a sale. The data has no tax, tender, tip, staff or customer: those are added by this rule.

Dice are thrown per basket with a fixed seed (`till.chance`), so every run has the same sales to the cent:
- price: what the retailer took plus what was taken off; card prices and coupon matches are discounts of the line,
  manufacturers' coupons one of the whole order, spread over its lines by their net amount;
- tax: nothing on food and fuel, the store's one or two rates on everything else, per line, half to even;
- paid: 60 % by card, 25 % in cash with change, 10 % part cash part card, 5 % by gift card; nothing due: by nothing;
- tip: 1 to 4 dollars on 3 % of card payments in stores that book journals;
- customer: four households in ten are known, the others are not.
docs/demo.md says the same in plain words.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

from tools.demo.baskets import Basket, Item
from tools.demo.till import Levy, Line, Off, Payment, Person, Sale, Store, chance, code, half_even

UNTAXED = frozenset(
    ("GROCERY", "PRODUCE", "MEAT", "MEAT-PCKGD", "SEAFOOD", "SEAFOOD-PCKGD", "DELI", "PASTRY", "NUTRITION")
    + ("FROZEN GROCERY", "CHEF SHOPPE", "SALAD BAR", "FUEL", "COUPON")
)
_KNOWN_HOUSEHOLDS = 0.4
_GIVEN = ("Ada", "Ben", "Cleo", "Dora", "Emil", "Finn", "Greta", "Hugo", "Iris", "Jonas", "Kira", "Leo", "Mina", "Noor")
_FAMILY = ("Abel", "Brook", "Castle", "Dorn", "Ember", "Field", "Grove", "Hale", "Ives", "Jansen", "Kell", "Lund")
_BRANDS = (("VISA", "1111"), ("MASTERCARD", "4444"), ("AMERICAN_EXPRESS", "0005"), ("DISCOVER", "1117"))
_NOTES = (500, 1000, 2000, 5000, 10000)


def ring_up(basket: Basket, store: Store, person: Person | None) -> Sale:
    """The sale of a basket."""
    at = basket.wall.replace(tzinfo=ZoneInfo(store.timezone))
    lines = _with_coupons(tuple(_line(item, place, store) for place, item in enumerate(basket.items)), basket)
    lines = tuple(replace(line, taxes=_taxes(line, store)) for line in lines)
    dice = chance("staff", basket.id)
    sale_id = (
        code("order", basket.id) if store.vendor == "square" else str(5_900_000_000_000 + basket.id % 10_000_000_000)
    )
    return Sale(
        id=sale_id,
        number=code("receipt", basket.id, length=6) if store.vendor == "square" else f"#{basket.id % 1_000_000}",
        store=store,
        day=basket.day,
        at=at,
        uploaded=at,
        lines=lines,
        payments=_payments(basket, store, sum(line.total for line in lines)),
        person=person,
        staff=dice.randint(1, 6),
        till=dice.randint(1, 3),
    )


def person_of(household: int, vendor: str, since: datetime) -> Person | None:
    """The invented customer for a household; None for those that stay unknown."""
    dice = chance("household", household)
    if dice.random() >= _KNOWN_HOUSEHOLDS:
        return None
    given, family = dice.choice(_GIVEN), dice.choice(_FAMILY)
    domain = "example.org" if vendor == "square" else "example.net"
    return Person(
        household=household,
        vendor=vendor,
        id=code("customer", household) if vendor == "square" else str(7_100_000_000_000 + household),
        given=given,
        family=family,
        email=f"{given}.{family}.{household}@{domain}".lower(),
        # 555-0100 to 555-0199 is reserved for fiction; the area codes are real ones.
        phone=f"+1{dice.choice((212, 312, 415, 602))}55501{household % 100:02d}",
        since=since,
    )


def _line(item: Item, place: int, store: Store) -> Line:
    gross = item.paid + item.card_price_off + item.coupon_match
    quantity, price = _quantity_and_price(item, gross, store)
    rung = half_even(price * quantity)
    card_price = item.card_price_off + (rung - gross)
    off = (Off("Card price", card_price), Off("Coupon match", item.coupon_match))
    return Line(
        uid=f"l{place + 1}",
        name=f"{item.name} {item.package}".strip(),
        department=item.department,
        goods=item.name,
        quantity=quantity,
        price=price,
        gross=rung,
        off=tuple(each for each in off if each.amount),
    )


def _quantity_and_price(item: Item, gross: int, store: Store) -> tuple[Decimal, int]:
    """Quantity and the price of one, so that together they make at least the gross amount; the rest is card price.

    Fuel is counted in thousandths of a gallon; Shopify's lines have whole quantities, so there it is one line of fuel.
    """
    if item.quantity > 1000:
        if store.vendor == "shopify":
            return Decimal(1), gross
        quantity = Decimal(item.quantity) / 1000
    else:
        quantity = Decimal(item.quantity)
    if not quantity:
        return quantity, 0
    price = int(Decimal(gross) / quantity)
    while half_even(price * quantity) < gross:
        price += 1
    return quantity, price


def _with_coupons(lines: tuple[Line, ...], basket: Basket) -> tuple[Line, ...]:
    """Manufacturers' coupons taken off the whole order, spread over its lines; never more than there is to pay."""
    due = sum(line.net for line in lines)
    coupons = min(sum(item.coupon for item in basket.items), due)
    if coupons <= 0:
        return lines
    shares = [coupons * line.net // due for line in lines]
    left = coupons - sum(shares)
    for place in sorted(range(len(lines)), key=lambda at: (-(coupons * lines[at].net % due), at))[:left]:
        shares[place] += 1
    return tuple(
        replace(line, off=(*line.off, Off("Coupons", share, order=True))) if share else line
        for line, share in zip(lines, shares, strict=True)
    )


def _taxes(line: Line, store: Store) -> tuple[Levy, ...]:
    if line.department in UNTAXED:
        return ()
    levies = (Levy(name, rate, half_even(line.net * Decimal(rate) / 100)) for name, rate in store.taxes)
    return tuple(levy for levy in levies if levy.amount)


def _payments(basket: Basket, store: Store, due: int) -> tuple[Payment, ...]:
    if not due:
        return ()
    dice = chance("paid", basket.id)
    roll = dice.random()
    if roll < 0.25:
        return (_cash(basket, 1, due, store),)
    if roll < 0.30:
        return (Payment(_payment_id(basket, store, 1), "gift_card", due, brand="SQUARE_GIFT_CARD", last4="0000"),)
    if roll < 0.40 and due >= 400:
        in_cash = due // 200 * 100
        return _cash(basket, 1, in_cash, store), _card(basket, 2, due - in_cash, store)
    tip = dice.choice((100, 200, 300, 400)) if dice.random() < 0.03 and store.books == "qbo-journal" else 0
    return (_card(basket, 1, due, store, tip=tip),)


def _payment_id(basket: Basket, store: Store, number: int) -> str:
    if store.vendor == "shopify":
        return str(6_300_000_000_000 + basket.id % 10_000_000_000 * 10 + number)
    return code("payment", basket.id, number)


def _card(basket: Basket, number: int, amount: int, store: Store, tip: int = 0) -> Payment:
    brand, last4 = chance("card", basket.id, number).choice(_BRANDS)
    return Payment(_payment_id(basket, store, number), "card", amount + tip, tip=tip, brand=brand, last4=last4)


def _cash(basket: Basket, number: int, amount: int, store: Store) -> Payment:
    note = chance("note", basket.id).choice(_NOTES)
    given = -(-amount // note) * note
    return Payment(_payment_id(basket, store, number), "cash", amount, given=given, change=given - amount)
