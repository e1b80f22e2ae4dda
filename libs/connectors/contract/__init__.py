"""What a connector is: a value that holds functions.

`manifest` the facts, `http` requests and answers as data, `source` from a vendor's notification to canonical events,
`target` from a canonical event to steps and from an answer to a verdict, `simulator` the vendor's stand-in.
"""
