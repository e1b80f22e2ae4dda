"""The vendors' simulators behind sockets, with faults to order: for the demo, tests and trying a configuration.

    python -m services.sandbox --port 8090

Each vendor's API is below `/<vendor>/`, what is done to the sandbox itself below `/_sandbox/<vendor>/`.
"""
