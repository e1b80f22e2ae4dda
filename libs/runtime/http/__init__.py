"""Calls to vendors: one client per connection, its credentials, and what a failed call means."""
