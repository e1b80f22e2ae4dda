"""The one exception of the local stack."""


class StackError(RuntimeError):
    """Something the person at the keyboard can act on: the message says what happened and what to do."""
