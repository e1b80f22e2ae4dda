"""QuickBooks Online: daily journals or receipts, customers and items, through the Accounting API v3."""

from pathlib import Path

from libs.connectors.contract.connector import Connector
from libs.connectors.quickbooks.sandbox import simulator
from libs.connectors.quickbooks.target import target

connector = Connector(manifest=target.manifest, folder=Path(__file__).parent, simulator=simulator, target=target)
