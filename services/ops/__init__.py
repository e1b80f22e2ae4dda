"""Operating: the command `till`, and the exporter that shows whether everything is accounted for.

till          the command; one module a group of commands under `commands`
queries       every SQL statement of this room, in one place a subject
accounting    the exporter: `python -m services.ops accounting`
"""
