"""Square: sales, refunds, customers, catalogue and stock of its tills and web shops."""

from pathlib import Path

from libs.connectors.contract.connector import Connector
from libs.connectors.square.sandbox import simulator
from libs.connectors.square.source import MANIFEST, source

connector = Connector(manifest=MANIFEST, folder=Path(__file__).parent, simulator=simulator, source=source)
