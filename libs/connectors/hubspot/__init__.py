"""HubSpot: customers become contacts, sales become orders with line items."""

from pathlib import Path

from libs.connectors.contract.connector import Connector
from libs.connectors.hubspot.sandbox import simulator
from libs.connectors.hubspot.target import TARGET

connector = Connector(manifest=TARGET.manifest, folder=Path(__file__).parent, simulator=simulator, target=TARGET)
