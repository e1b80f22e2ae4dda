"""Shopify's stand-in: the GraphQL Admin API as far as the connector's queries go, with tokens and the points bucket.

Queries are told apart by their operation name. Objects are stored in the shape of Shopify's webhooks, so one that is
loaded here can be sent as a webhook as it is (see `webhook_headers` and `sign`).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from datetime import datetime
from typing import Any

from libs.connectors.contract.simulator import Fault, SimRequest, SimResponse, Simulator
from libs.connectors.shopify import sandbox_objects as objects
from libs.connectors.shopify.headers import webhook_headers
from libs.connectors.shopify.signature import sign

__all__ = ["ShopifySimulator", "sign", "simulator", "webhook_headers"]

DEFAULT_TOKEN = "shpat-sandbox-token"  # noqa: S105 - opens nothing but this simulator
_PATH = re.compile(r"/admin/api/[0-9]{4}-[0-9]{2}/graphql\.json")
_OPERATION = re.compile(r"^\s*(?:query|mutation)\s+(\w+)")
_CLAUSE = re.compile(r"updated_at:(>=|<=|<|>)'([^']+)'")
_BAD_TOKEN = {"errors": "[API] Invalid API key or access token (unrecognized login or wrong password)"}

# What each query costs; that the numbers are Shopify's own is not claimed, only that they are deducted like its.
_COST = {"Order": 40, "Product": 25, "Orders": 12, "Customers": 12, "Products": 12, "Levels": 12}
_OTHER_COST = 5

_DEFAULT_SHOP = {
    "id": 1,
    "myshopify_domain": "sandbox.myshopify.com",
    "iana_timezone": "America/New_York",
    "currency": "USD",
}

Rest = dict[str, Any]


class ShopifySimulator:
    """One shop in memory."""

    vendor = "shopify"

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """An empty shop with the default token and a full bucket."""
        self._shop: Rest = dict(_DEFAULT_SHOP)
        self._stores: dict[str, dict[str, Rest]] = {
            name: {} for name in ("orders", "customers", "products", "inventory_items", "inventory_levels", "locations")
        }
        self._transactions: dict[str, dict[str, Rest]] = {}
        self._counted: Counter[str] = Counter()
        self._tokens: dict[str, datetime | None] = {DEFAULT_TOKEN: None}
        self._maximum, self._rate = 2000.0, 100.0
        self._points, self._filled_at = self._maximum, None
        self._denied: frozenset[str] = frozenset()

    _filled_at: datetime | None

    # Setting up

    def configure(self, options: Mapping[str, Any]) -> None:
        """`tokens`: token -> when it expires (ISO 8601) or null; `points_maximum` and `points_per_second`: the bucket;
        `denied`: fields that the token may not read (`staffMember`, `user`, `device`, `customer`)."""
        if "tokens" in options:
            self._tokens = {
                token: datetime.fromisoformat(until) if until else None for token, until in options["tokens"].items()
            }
        self._maximum = float(options.get("points_maximum", self._maximum))
        self._rate = float(options.get("points_per_second", self._rate))
        self._points = min(self._points, self._maximum)
        if "denied" in options:
            self._denied = frozenset(options["denied"])

    def load(self, given: Mapping[str, Any]) -> None:
        """Objects in webhook shape, replacing those of the same id: `shop`, `orders` (a key `transactions` inside is
        taken out), `transactions` (by order id, or a list naming `order_id`), `customers`, `products`,
        `inventory_items`, `inventory_levels`, `locations`."""
        given = deepcopy(dict(given))
        self._shop |= given.get("shop") or {}
        for order in given.get("orders") or ():
            self._add_transactions(str(order["id"]), order.pop("transactions", None) or ())
            self._stores["orders"][str(order["id"])] = order
        transactions = given.get("transactions") or ()
        if isinstance(transactions, Mapping):
            for order_id, listed in transactions.items():
                self._add_transactions(str(order_id), listed)
        else:
            for each in transactions:
                self._add_transactions(str(each["order_id"]), [each])
        for name in ("customers", "products", "inventory_items", "locations"):
            for each in given.get(name) or ():
                self._stores[name][str(each["id"])] = each
        for level in given.get("inventory_levels") or ():
            self._stores["inventory_levels"][f"{level['inventory_item_id']}@{level['location_id']}"] = level

    def _add_transactions(self, order_id: str, listed: Iterable[Rest]) -> None:
        kept = self._transactions.setdefault(order_id, {})
        kept.update({str(each["id"]): each for each in listed})

    def state(self) -> dict[str, Any]:
        """Everything stored, for reading back."""
        transactions = {order_id: list(kept.values()) for order_id, kept in self._transactions.items()}
        stored: dict[str, Any] = {name: list(store.values()) for name, store in self._stores.items()}
        return deepcopy({"shop": self._shop, "transactions": transactions, **stored})

    def counters(self) -> dict[str, int]:
        """How often each operation was asked and each refusal given."""
        return dict(self._counted)

    def limits(self) -> dict[str, Any]:
        """The bucket in force."""
        return {
            "in_words": "calculated points, leaky bucket; a throttled query is answered with status 200",
            "points_maximum": self._maximum,
            "points_per_second": self._rate,
            "points_now": self._points,
        }

    # Answering

    def handle(self, request: SimRequest, now: datetime) -> SimResponse:
        """One call: token, path, bucket, then the query."""
        if not self._authentic(request.headers.get("x-shopify-access-token"), now):
            self._counted["unauthorized"] += 1
            return SimResponse(401, _BAD_TOKEN)
        if request.method != "POST" or not _PATH.fullmatch(request.path):
            return SimResponse(404, {"errors": "Not Found"})
        body = request.json
        query = body.get("query") if isinstance(body, dict) else None
        if not isinstance(query, str):
            return SimResponse(400, {"errors": {"query": "Required parameter missing or invalid"}})
        named = _OPERATION.match(query)
        operation = named.group(1) if named else ""
        answer = self._answers.get(operation)
        if answer is None:
            self._counted["refused"] += 1
            return _errors("No such operation is known to this simulator", "undefinedField")
        cost = float(_COST.get(operation, _OTHER_COST))
        self._refill(now)
        if cost > self._points:
            self._counted["throttled"] += 1
            return self._throttled(cost)
        self._points -= cost
        self._counted[operation] += 1
        return self._answer(answer(self, body.get("variables") or {}), cost)

    def _answer(self, data: Rest, cost: float) -> SimResponse:
        errors = [
            {"message": "Access denied", "path": path, "extensions": {"code": "ACCESS_DENIED"}}
            for path in _deny(data, self._denied)
        ]
        body: Rest = {"data": data, **({"errors": errors} if errors else {})}
        return SimResponse(200, {**body, "extensions": {"cost": self._cost(cost, cost)}})

    def _authentic(self, token: str | None, now: datetime) -> bool:
        if token not in self._tokens:
            return False
        until = self._tokens[token]
        return until is None or now < until

    def _refill(self, now: datetime) -> None:
        if self._filled_at is not None:
            passed = max(0.0, (now - self._filled_at).total_seconds())
            self._points = min(self._maximum, self._points + passed * self._rate)
        self._filled_at = now

    def _cost(self, requested: float, actual: float | None) -> Rest:
        status = {
            "maximumAvailable": self._maximum,
            "currentlyAvailable": int(self._points),
            "restoreRate": self._rate,
        }
        return {"requestedQueryCost": requested, "actualQueryCost": actual, "throttleStatus": status}

    def _throttled(self, cost: float) -> SimResponse:
        error = {"message": "Throttled", "extensions": {"code": "THROTTLED"}}
        return SimResponse(200, {"errors": [error], "extensions": {"cost": self._cost(cost, None)}})

    def fault(self, fault: Fault) -> SimResponse:
        """A failure in Shopify's own words."""
        if fault == "throttled":
            return self._throttled(self._maximum + 1)
        return _FAULTS[fault]

    # The queries

    def _order(self, variables: Rest) -> Rest:
        found = self._find("orders", variables["id"])
        transactions = list(self._transactions.get(str(found["id"]), {}).values()) if found else []
        return {"order": objects.order(found, transactions) if found else None}

    def _order_lines(self, variables: Rest) -> Rest:
        found = self._find("orders", variables["id"])
        if found is None:
            return {"order": None}
        page = objects.connection(objects.lines(found), variables.get("after"), 50)
        return {"order": {"id": variables["id"], "lineItems": page}}

    def _refund_lines(self, variables: Rest) -> Rest:
        wanted = _number(variables["id"])
        for order in self._stores["orders"].values():
            for refund in order.get("refunds") or ():
                if str(refund["id"]) == wanted:
                    lines = [objects.refund_line(line) for line in refund.get("refund_line_items") or ()]
                    page = objects.connection(lines, variables.get("after"), 50)
                    return {"refund": {"id": variables["id"], "refundLineItems": page}}
        return {"refund": None}

    def _shop_query(self, variables: Rest) -> Rest:
        return {"shop": objects.shop(self._shop)}

    def _customer(self, variables: Rest) -> Rest:
        found = self._find("customers", variables["id"])
        return {"customer": objects.customer(found) if found else None}

    def _product(self, variables: Rest) -> Rest:
        found = self._find("products", variables["id"])
        return {"product": objects.product(found) if found else None}

    def _variants(self, variables: Rest) -> Rest:
        found = self._find("products", variables["id"])
        if found is None:
            return {"product": None}
        page = objects.connection(objects.variants(found), variables.get("after"), 100)
        return {"product": {"id": variables["id"], "variants": page}}

    def _stock(self, variables: Rest) -> Rest:
        item = _number(variables["id"])
        level = self._stores["inventory_levels"].get(f"{item}@{_number(variables['location'])}")
        sku, variant_id = self._item(item)
        if level is None:
            shown: Rest = {"id": variables["id"], "sku": sku, "variants": {"nodes": []}, "inventoryLevel": None}
            return {"inventoryItem": shown}
        return {"inventoryItem": objects.stock(level, sku, variant_id)}

    def _item(self, item_id: str) -> tuple[str | None, object]:
        for product in self._stores["products"].values():
            for variant in product.get("variants") or ():
                if str(variant.get("inventory_item_id")) == item_id:
                    return variant.get("sku"), variant["id"]
        return self._stores["inventory_items"].get(item_id, {}).get("sku"), None

    def _listed(self, name: str, resource: str, variables: Rest) -> Rest:
        changed = _in_period(self._stores[name].values(), variables.get("query") or "")
        nodes = [{"id": objects.gid(resource, each["id"]), "updatedAt": each["updated_at"]} for each in changed]
        page = objects.connection(nodes, variables.get("after"), int(variables["first"]))
        return {"shop": {"myshopifyDomain": self._shop["myshopify_domain"]}, name: page}

    def _orders(self, variables: Rest) -> Rest:
        return self._listed("orders", "Order", variables)

    def _customers(self, variables: Rest) -> Rest:
        return self._listed("customers", "Customer", variables)

    def _products(self, variables: Rest) -> Rest:
        return self._listed("products", "Product", variables)

    def _levels(self, variables: Rest) -> Rest:
        levels = self._stores["inventory_levels"].values()
        stocked = {str(level["location_id"]) for level in levels} | set(self._stores["locations"])
        wanted = set(re.findall(r"id:([0-9]+)", variables.get("locations") or "")) or stocked
        places = [
            {"id": objects.gid("Location", place), "number": place} for place in sorted(stocked & wanted, key=int)
        ]
        page = objects.connection(places, variables.get("location"), 1)
        for place in page["nodes"]:
            number = place.pop("number")
            here = [level for level in levels if str(level["location_id"]) == number]
            nodes = [
                {
                    "updatedAt": level["updated_at"],
                    "item": {"id": objects.gid("InventoryItem", level["inventory_item_id"])},
                }
                for level in _in_period(here, variables.get("query") or "")
            ]
            place["inventoryLevels"] = objects.connection(nodes, variables.get("after"), int(variables["first"]))
        return {"shop": {"myshopifyDomain": self._shop["myshopify_domain"]}, "locations": page}

    def _find(self, store: str, global_id: str) -> Rest | None:
        return self._stores[store].get(_number(global_id))

    _answers: Mapping[str, Callable[[ShopifySimulator, Rest], Rest]] = {
        "Order": _order,
        "OrderLines": _order_lines,
        "RefundLines": _refund_lines,
        "Shop": _shop_query,
        "Customer": _customer,
        "Product": _product,
        "ProductVariants": _variants,
        "Stock": _stock,
        "Orders": _orders,
        "Customers": _customers,
        "Products": _products,
        "Levels": _levels,
    }


_FAULTS: dict[str, SimResponse] = {
    "down": SimResponse(503, b"<html><body>Service Unavailable</body></html>"),
    "error": SimResponse(500, {"errors": "Internal Server Error"}),
    "throttled_retry_after": SimResponse(
        429,
        {"errors": "Exceeded 2 calls per second for api client. Reduce request rates to resume uninterrupted service."},
        {"Retry-After": "2.0"},
    ),
    "unauthorized": SimResponse(401, _BAD_TOKEN),
    "garbage": SimResponse(200, b"<!DOCTYPE html><html><head><title>One moment"),
}


def _errors(message: str, code: str) -> SimResponse:
    return SimResponse(200, {"errors": [{"message": message, "extensions": {"code": code}}]})


def _number(global_id: str) -> str:
    return global_id.rpartition("/")[2]


def _moment(rest: Mapping[str, Any]) -> datetime:
    return datetime.fromisoformat(rest["updated_at"])


def _in_period(stored: Iterable[Rest], query: str) -> list[Rest]:
    """Those that the search asks for, oldest change first."""
    compare: dict[str, Callable[[datetime, datetime], bool]] = {
        ">=": lambda changed, bound: changed >= bound,
        "<=": lambda changed, bound: changed <= bound,
        ">": lambda changed, bound: changed > bound,
        "<": lambda changed, bound: changed < bound,
    }
    clauses = [(compare[sign_], datetime.fromisoformat(bound)) for sign_, bound in _CLAUSE.findall(query)]
    # Whole seconds, as Shopify keeps its times.
    chosen = [
        each for each in stored if all(holds(_moment(each).replace(microsecond=0), bound) for holds, bound in clauses)
    ]
    return sorted(chosen, key=lambda each: (_moment(each), str(each.get("id"))))


def _deny(value: Any, denied: frozenset[str], path: tuple[str | int, ...] = ()) -> list[list[str | int]]:
    """Empties the fields that the token may not read; their paths."""
    if not denied:
        return []
    found: list[list[str | int]] = []
    if isinstance(value, dict):
        for key, inner in value.items():
            if key in denied and inner is not None and path:
                value[key] = None
                found.append([*path, key])
            else:
                found += _deny(inner, denied, (*path, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            found += _deny(inner, denied, (*path, index))
    return found


def simulator() -> Simulator:
    """A fresh shop."""
    return ShopifySimulator()
