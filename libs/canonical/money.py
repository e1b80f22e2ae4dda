"""Exact money: integer minor units and an ISO 4217 currency. Never a float, never a conversion."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import ROUND_HALF_EVEN, Context, Decimal, DecimalException, Inexact, InvalidOperation, Overflow
from typing import Annotated

from pydantic import StrictInt, StringConstraints

from libs.canonical.frozen import Frozen

# ISO 4217 currencies whose minor unit is not two decimals.
_EXPONENTS = {
    **dict.fromkeys(
        ("BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "UYI")
        + ("VND", "VUV", "XAF", "XOF", "XPF"),
        0,
    ),
    **dict.fromkeys(("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"), 3),
}

Currency = Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$")]

# Forty digits are more than all the money there is; whatever does not fit is refused, not rounded.
_EXACT = Context(prec=40, Emax=40, Emin=-40, traps=[Inexact, InvalidOperation, Overflow])


class MoneyError(ValueError):
    """An amount that is not exact money: a float, too many decimals, or two currencies in one sum."""


def exponent(currency: str) -> int:
    """Decimals of the currency's minor unit: 2 for USD, 0 for JPY, 3 for KWD."""
    return _EXPONENTS.get(currency, 2)


class Money(Frozen):
    """An amount in minor units (cents, yen, fils) of one currency."""

    minor: StrictInt
    currency: Currency

    @classmethod
    def zero(cls, currency: str) -> Money:
        """Nothing, in that currency."""
        return cls(minor=0, currency=currency)

    @classmethod
    def parse(cls, amount: str | int | Decimal, currency: str) -> Money:
        """Exact money from an amount in major units, such as "12.40".

        Raises MoneyError for a float, for text that is no number, and for more decimals than the currency has.
        """
        if isinstance(amount, (float, bool)):
            raise MoneyError("a float is not an exact amount: read the number as text")
        try:
            scaled = _EXACT.create_decimal(amount).scaleb(exponent(currency), _EXACT)
            minor = int(scaled.to_integral_exact(context=_EXACT))
        except Inexact:
            raise MoneyError(f"{str(amount)[:40]} has more decimals than {currency} allows") from None
        except (DecimalException, TypeError, ValueError, OverflowError):
            raise MoneyError(f"not an amount: {str(amount)[:40]!r}") from None
        return cls(minor=minor, currency=currency)

    @property
    def major(self) -> Decimal:
        """The amount in major units, with the currency's own number of decimals: Decimal('12.40')."""
        return Decimal(self.minor).scaleb(-exponent(self.currency))

    def __str__(self) -> str:
        return f"{self.major} {self.currency}"

    def _same(self, other: Money) -> None:
        if self.currency != other.currency:
            raise MoneyError(f"{self.currency} and {other.currency} do not add up: no conversion is made")

    def __add__(self, other: Money) -> Money:
        self._same(other)
        return Money(minor=self.minor + other.minor, currency=self.currency)

    def __sub__(self, other: Money) -> Money:
        self._same(other)
        return Money(minor=self.minor - other.minor, currency=self.currency)

    def __neg__(self) -> Money:
        return Money(minor=-self.minor, currency=self.currency)

    def __bool__(self) -> bool:
        return self.minor != 0


def total(amounts: Iterable[Money], currency: str) -> Money:
    """The sum of the amounts; zero of the currency when there are none."""
    result = Money.zero(currency)
    for amount in amounts:
        result = result + amount
    return result


def times(unit: Money, quantity: Decimal) -> Money:
    """Unit price times quantity, rounded half to even to the minor unit (a petrol line has 12.345 litres)."""
    exact = Decimal(unit.minor) * quantity
    return Money(minor=int(exact.to_integral_value(rounding=ROUND_HALF_EVEN)), currency=unit.currency)


def apportion(amount: Money, weights: Sequence[int]) -> tuple[Money, ...]:
    """The amount split by weight so that the parts add up to it exactly (largest remainder first).

    All weights zero: everything on the first part. No weights: no parts, and then the amount must be zero.
    """
    if not weights:
        if amount:
            raise MoneyError(f"{amount} cannot be spread over nothing")
        return ()
    whole = sum(weights)
    if whole == 0:
        weights, whole = (1, *([0] * (len(weights) - 1))), 1
    sign = -1 if amount.minor < 0 else 1
    size = abs(amount.minor)
    shares = [size * weight // whole for weight in weights]
    by_remainder = sorted(range(len(weights)), key=lambda i: (-(size * weights[i] % whole), i))
    for i in by_remainder[: size - sum(shares)]:
        shares[i] += 1
    return tuple(Money(minor=sign * share, currency=amount.currency) for share in shares)
