"""What a connection to HubSpot can be told: keys, paths, pipeline stages and further properties."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

# The unique properties by which HubSpot recognises what it already has (README, "Properties").
CUSTOMER_KEY = "pos_customer_id"
ORDER_KEY = "pos_order_id"
LINE_KEY = "pos_line_id"
REFUNDED = "pos_refunded_amount"

KEYS = frozenset((CUSTOMER_KEY, ORDER_KEY, LINE_KEY))

PropertyName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$")]
ApiPath = Annotated[str, StringConstraints(pattern=r"^/[A-Za-z0-9/_.-]*[A-Za-z0-9]$")]

ContactFact = Literal["accepts_marketing", "birthday", "created_at", "groups", "note"]
OrderFact = Literal[
    "business_day",
    "cash_change",
    "channel",
    "exchange_refund_id",
    "location_id",
    "note",
    "offline",
    "receipt_number",
    "register_id",
    "rounding",
    "service_charges",
    "staff_id",
    "tenders",
    "tip",
]
LineFact = Literal["category", "discount_total", "item_id", "kind", "modifiers", "note", "staff_id", "tax", "total"]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Mapped(_Part):
    """How the properties of one kind of object are adapted to an account."""

    rename: Mapping[PropertyName, PropertyName] = Field({}, description="A property we write -> the one to write to.")
    leave_out: tuple[PropertyName, ...] = Field((), description="Properties we would write and shall not.")
    constants: Mapping[PropertyName, str] = Field({}, description="Properties that always get this value.")

    @model_validator(mode="after")
    def _keys_stay(self) -> Self:
        facts: Mapping[str, str] = getattr(self, "facts", {})
        touched = KEYS & {*self.rename, *self.rename.values(), *self.leave_out, *self.constants, *facts.values()}
        if touched:
            raise ValueError(f"{', '.join(sorted(touched))} is how records are recognised and cannot be mapped")
        return self


class MappedContact(Mapped):
    """Contacts; `facts` puts what HubSpot has no property for into properties of the account."""

    facts: Mapping[ContactFact, PropertyName] = Field({}, description="A fact about the customer -> its property.")


class MappedOrder(Mapped):
    """Orders; `facts` puts what HubSpot has no property for into properties of the account."""

    facts: Mapping[OrderFact, PropertyName] = Field({}, description="A fact about the sale -> its property.")


class MappedLine(Mapped):
    """Line items; `facts` puts what HubSpot has no property for into properties of the account."""

    facts: Mapping[LineFact, PropertyName] = Field({}, description="A fact about the line -> its property.")


class Config(_Part):
    """The settings of a HubSpot connection."""

    contact_key: Literal["pos_customer_id", "email"] = Field(
        "pos_customer_id",
        description="What makes two customers one contact: the till's customer id, or the e-mail address "
        "(customers without one are then left out).",
    )
    objects_path: ApiPath = Field(
        "/crm/v3/objects", description="Where objects are; a dated version is /crm/objects/2026-03."
    )
    associations_path: ApiPath = Field(
        "/crm/v4/associations", description="Where associations are; a dated version is /crm/associations/2026-09."
    )
    account_label: str = Field(
        "POS",
        min_length=1,
        max_length=80,
        description="Stands before the receipt number in an order's name. Ids need no label: they begin with vendor "
        "and account, so those of several sources cannot clash.",
    )
    stores: Mapping[str, str] = Field({}, description="Location id -> the store's name in hs_source_store.")
    pipeline: str | None = Field(None, description="Id of the order pipeline; none: the account's default.")
    completed_stage: str | None = Field(None, description="Id of the stage of a completed sale.")
    refunded_stage: str | None = Field(None, description="Id of the stage after any refund; none: it stays.")
    voided_stage: str | None = Field(None, description="Id of the stage of a voided sale; none: it stays.")
    completed_status: str = Field("completed", description="hs_external_order_status of a completed sale.")
    refunded_status: str = Field(
        "has_refund", description="hs_external_order_status after any refund, of a part or of everything."
    )
    voided_status: str = Field("voided", description="hs_external_order_status of a voided sale.")
    clear_missing: bool = Field(
        False, description="Empty the contact's properties for which the customer has no value at the till."
    )
    on_deletion: Literal["archive", "keep"] = Field(
        "archive", description="What becomes of the contact when the till deletes the customer without being asked to."
    )
    on_erasure: Literal["archive", "gdpr_delete"] = Field(
        "archive", description="What becomes of the contact on a privacy request: archived (90 days) or gone for good."
    )
    contacts: MappedContact = Field(MappedContact(), description="Adapts the properties of contacts.")
    orders: MappedOrder = Field(MappedOrder(), description="Adapts the properties of orders.")
    line_items: MappedLine = Field(MappedLine(), description="Adapts the properties of line items.")


def check(config: Config) -> tuple[str, ...]:
    """What must be settled before going live, in plain sentences.

    Stage ids belong to one pipeline (HubSpot, Pipelines API), so a stage without its pipeline is a guess.
    """
    stages = {
        "completed_stage": config.completed_stage,
        "refunded_stage": config.refunded_stage,
        "voided_stage": config.voided_stage,
    }
    if config.pipeline:
        return ("completed_stage is missing: a pipeline is named.",) if not config.completed_stage else ()
    return tuple(f"{name} is set without pipeline: a stage belongs to one." for name, stage in stages.items() if stage)
