"""Breaking everything around Tillstream on purpose, and counting afterwards that nothing was lost: `make chaos`."""
