"""What Tillstream knows of vendors: one folder each, and in `contract/` what a connector is. Pure: no I/O here."""
