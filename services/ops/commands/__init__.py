"""The commands of `till`, one module a group."""
