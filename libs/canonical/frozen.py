"""The one base of every canonical model."""

from pydantic import BaseModel, ConfigDict


class Frozen(BaseModel):
    """An immutable value. Readers ignore fields they do not know, so that an older reader survives a newer writer."""

    model_config = ConfigDict(frozen=True, extra="ignore", ser_json_bytes="base64")
