"""Where is my sale? Every id by which people look for something leads to its order key and events."""
