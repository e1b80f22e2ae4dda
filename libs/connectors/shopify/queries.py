"""Every GraphQL document that is sent, and how one becomes a request. Admin API 2026-07.

New apps may not use REST. Connections are asked in small pages: the calculated cost of one query may not pass 1000
points, and a page that is full is continued by a query of its own.
"""

from __future__ import annotations

from typing import Any

from libs.connectors.contract.http import Request

VERSION = "2026-07"
PATH = f"/admin/api/{VERSION}/graphql.json"

_PAGE = "pageInfo { hasNextPage endCursor }"
_SHOP_MONEY = "{ shopMoney { amount } }"
_TAX = f"taxLines {{ title rate priceSet {_SHOP_MONEY} }}"
_DISCOUNTS = f"""discountAllocations {{
    allocatedAmountSet {_SHOP_MONEY}
    discountApplication {{
      __typename index allocationMethod targetSelection
      ... on ManualDiscountApplication {{ title }}
      ... on AutomaticDiscountApplication {{ title }}
      ... on ScriptDiscountApplication {{ title }}
      ... on DiscountCodeApplication {{ code }}
    }}
  }}"""
_LINE = f"""
  id title name quantity sku isGiftCard
  originalUnitPriceSet {_SHOP_MONEY}
  product {{ id productType }}
  variant {{ id }}
  staffMember {{ id }}
  {_DISCOUNTS}
  {_TAX}
  duties {{ id price {_SHOP_MONEY} {_TAX} }}
"""
_TRANSACTION = f"""
  id kind status gateway test createdAt processedAt
  amountSet {_SHOP_MONEY} amountRoundingSet {_SHOP_MONEY}
  parentTransaction {{ id }} user {{ id }} device {{ id }} location {{ id }}
  paymentDetails {{ __typename ... on CardPaymentDetails {{ company number }} }}
"""
_REFUND_LINE = f"""
  id quantity restockType subtotalSet {_SHOP_MONEY} totalTaxSet {_SHOP_MONEY} lineItem {{ id }}
"""

ORDER = f"""query Order($id: ID!) {{
  order(id: $id) {{
    id name createdAt processedAt updatedAt cancelledAt cancelReason test sourceName sourceIdentifier note
    currencyCode taxesIncluded displayFinancialStatus
    retailLocation {{ id }}
    staffMember {{ id }}
    customer {{
      id firstName lastName defaultEmailAddress {{ emailAddress }} defaultPhoneNumber {{ phoneNumber }}
    }}
    totalPriceSet {{ shopMoney {{ amount currencyCode }} presentmentMoney {{ amount currencyCode }} }}
    totalTipReceivedSet {_SHOP_MONEY}
    additionalFees {{ id name price {_SHOP_MONEY} {_TAX} }}
    lineItems(first: 50) {{ nodes {{ {_LINE} }} {_PAGE} }}
    shippingLines(first: 10, includeRemovals: true) {{
      nodes {{ id title originalPriceSet {_SHOP_MONEY} {_DISCOUNTS} {_TAX} }} {_PAGE}
    }}
    transactions {{ {_TRANSACTION} }}
    refunds {{
      id createdAt processedAt note staffMember {{ id }}
      refundLineItems(first: 20) {{ nodes {{ {_REFUND_LINE} }} {_PAGE} }}
      refundShippingLines(first: 10) {{
        nodes {{ id subtotalAmountSet {_SHOP_MONEY} taxAmountSet {_SHOP_MONEY} shippingLine {{ id }} }} {_PAGE}
      }}
      orderAdjustments(first: 10) {{
        nodes {{ id reason amountSet {_SHOP_MONEY} taxAmountSet {_SHOP_MONEY} }} {_PAGE}
      }}
      duties {{ amountSet {_SHOP_MONEY} originalDuty {{ id }} }}
      transactions(first: 10) {{ nodes {{ {_TRANSACTION} }} {_PAGE} }}
    }}
  }}
}}"""

ORDER_LINES = f"""query OrderLines($id: ID!, $after: String) {{
  order(id: $id) {{ id lineItems(first: 50, after: $after) {{ nodes {{ {_LINE} }} {_PAGE} }} }}
}}"""

REFUND_LINES = f"""query RefundLines($id: ID!, $after: String) {{
  refund(id: $id) {{ id refundLineItems(first: 50, after: $after) {{ nodes {{ {_REFUND_LINE} }} {_PAGE} }} }}
}}"""

SHOP = "query Shop { shop { myshopifyDomain ianaTimezone currencyCode } }"

CUSTOMER = """query Customer($id: ID!) {
  customer(id: $id) {
    id firstName lastName createdAt updatedAt note tags
    defaultEmailAddress { emailAddress marketingState }
    defaultPhoneNumber { phoneNumber }
    defaultAddress { name company address1 address2 city provinceCode zip countryCodeV2 phone }
  }
}"""

_VARIANT = "id sku barcode title price compareAtPrice updatedAt inventoryItem { id }"

PRODUCT = f"""query Product($id: ID!) {{
  product(id: $id) {{
    id title description productType status updatedAt
    variants(first: 100) {{ nodes {{ {_VARIANT} }} {_PAGE} }}
  }}
}}"""

PRODUCT_VARIANTS = f"""query ProductVariants($id: ID!, $after: String) {{
  product(id: $id) {{ id variants(first: 100, after: $after) {{ nodes {{ {_VARIANT} }} {_PAGE} }} }}
}}"""

STOCK = """query Stock($id: ID!, $location: ID!) {
  inventoryItem(id: $id) {
    id sku
    variants(first: 1) { nodes { id } }
    inventoryLevel(locationId: $location) { updatedAt quantities(names: ["available"]) { name quantity updatedAt } }
  }
}"""

ORDERS = f"""query Orders($first: Int!, $after: String, $query: String!) {{
  shop {{ myshopifyDomain }}
  orders(first: $first, after: $after, sortKey: UPDATED_AT, query: $query) {{ nodes {{ id updatedAt }} {_PAGE} }}
}}"""

CUSTOMERS = f"""query Customers($first: Int!, $after: String, $query: String!) {{
  shop {{ myshopifyDomain }}
  customers(first: $first, after: $after, sortKey: UPDATED_AT, query: $query) {{ nodes {{ id updatedAt }} {_PAGE} }}
}}"""

PRODUCTS = f"""query Products($first: Int!, $after: String, $query: String!) {{
  shop {{ myshopifyDomain }}
  products(first: $first, after: $after, sortKey: UPDATED_AT, query: $query) {{ nodes {{ id updatedAt }} {_PAGE} }}
}}"""

# Stock levels can be asked by location only: one location a page, and its levels in pages of their own.
LEVELS = f"""query Levels($first: Int!, $after: String, $location: String, $locations: String, $query: String!) {{
  shop {{ myshopifyDomain }}
  locations(first: 1, after: $location, query: $locations) {{
    nodes {{
      id
      inventoryLevels(first: $first, after: $after, query: $query) {{ nodes {{ updatedAt item {{ id }} }} {_PAGE} }}
    }}
    {_PAGE}
  }}
}}"""

DOCUMENTS = {
    "Order": ORDER,
    "OrderLines": ORDER_LINES,
    "RefundLines": REFUND_LINES,
    "Shop": SHOP,
    "Customer": CUSTOMER,
    "Product": PRODUCT,
    "ProductVariants": PRODUCT_VARIANTS,
    "Stock": STOCK,
    "Orders": ORDERS,
    "Customers": CUSTOMERS,
    "Products": PRODUCTS,
    "Levels": LEVELS,
}


def gid(resource: str, number: str) -> str:
    """Shopify's global id of a resource, such as gid://shopify/Order/5900000000001."""
    return f"gid://shopify/{resource}/{number}"


def request(operation: str, **variables: Any) -> Request:
    """The call that asks one of the documents."""
    body = {"operationName": operation, "query": DOCUMENTS[operation], "variables": variables}
    return Request("POST", PATH, json=body)
