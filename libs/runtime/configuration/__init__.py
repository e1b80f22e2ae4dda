"""`tillstream.yaml`: the connections of an installation, read once at start. Secrets are references, never values."""
