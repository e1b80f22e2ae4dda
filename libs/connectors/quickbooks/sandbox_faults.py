"""The simulator's wording of errors, as recorded from QuickBooks Online."""

from __future__ import annotations

from typing import Any

TIME = "2026-01-01T00:00:00.000-08:00"


class Refused(Exception):
    """The call is refused with one of QuickBooks' codes."""

    def __init__(self, code: str, detail: str, element: str = "") -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.element = element

    @property
    def body(self) -> dict[str, Any]:
        """The fault in the spelling of everything but 401."""
        return fault("ValidationFault", self.code, MESSAGES[self.code], self.detail, self.element)


MESSAGES = {
    "610": "Object Not Found",
    "2010": "Request has invalid or unsupported property",
    "2020": "Required param missing, need to supply the required value for the API",
    "2050": "String length is either shorter or longer than supported by specification",
    "2170": "Invalid Enumeration",
    "2500": "Invalid Reference Id",
    "4000": "Error parsing query",
    "5010": "Stale Object Error",
    "6000": "A business validation error has occurred while processing your request",
    "6070": "Amount calculation incorrect in the request",
    "6140": "Duplicate Document Number Error",
    "6210": "Account Period Closed, Cannot Update Through Services API",
    "6240": "Duplicate Name Exists Error",
}


def fault(kind: str, code: str, message: str, detail: str, element: str = "") -> dict[str, Any]:
    """A fault's body."""
    error = {"Message": message, "Detail": detail, "code": code, "element": element}
    return {"Fault": {"Error": [error], "type": kind}, "time": TIME}


def unauthorized() -> dict[str, Any]:
    """The 401 body, whose keys are spelt differently."""
    error = {
        "message": "message=AuthenticationFailed; errorCode=003200; statusCode=401",
        "detail": "Token expired or invalid",
        "code": "3200",
        "element": None,
    }
    return {"warnings": None, "fault": {"error": [error], "type": "AUTHENTICATION"}, "report": None}


def throttled() -> dict[str, Any]:
    """The 429 body."""
    return fault(
        "SERVICE",
        "3001",
        "message=ThrottleExceeded; errorCode=003001; statusCode=429",
        "The request limit was reached.",
    )


def broken() -> dict[str, Any]:
    """The 500 body."""
    return fault("SystemFault", "10000", "An application error has occurred while processing your request", "")
