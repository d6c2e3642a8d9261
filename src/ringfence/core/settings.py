"""Settings: frozen, closed values that describe a run completely."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class Settings(BaseModel):
    """Immutable; unknown keys and NaN or infinity are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]  # SHA-256, lower-case hex
SlotId = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]  # 128 random bits, hex
RunId = Annotated[str, Field(pattern=r"^[a-z]+-[0-9a-f]{12}$")]  # arrow and 48 random bits
PartName = Annotated[str, Field(pattern=r"^[a-z0-9-]+\.v[0-9]+$")]
Name = Annotated[str, Field(pattern=r"^[^\W_][\w.-]{0,63}$")]  # what users call a set or bundle; letters of any script
OWN_DIGITS = 32  # of the digest that ends the name of a tenant's own profile of de-identification: nobody finds another that ends so
