"""Shopify, POS and online store, as a source of sales, refunds, customers, products, prices and stock."""

from pathlib import Path

from libs.connectors.contract.connector import Connector
from libs.connectors.shopify.sandbox import simulator
from libs.connectors.shopify.source import manifest, source

connector = Connector(manifest=manifest, folder=Path(__file__).parent, simulator=simulator, source=source)
