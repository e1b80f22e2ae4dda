"""Snapshots to canonical events: `raw.<vendor>` to `retail.*`, each fact once, each state only when it changed."""
