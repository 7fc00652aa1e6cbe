"""What do costs look like on the wire? Amounts are decimal text, so that no digit of AWS's is lost."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import BaseModel, Field, PlainSerializer, WithJsonSchema, model_validator

from api.shapes import Strict

Amount = Annotated[
    Decimal,
    PlainSerializer(lambda amount: f"{amount:f}", return_type=str),
    WithJsonSchema({"type": "string", "format": "decimal", "examples": ["12.3400000001"]}),
]
Text = Annotated[str, Field(min_length=1, max_length=256)]
TagKey = Annotated[str, Field(min_length=1, max_length=128)]
Service = Annotated[str, Field(min_length=1, max_length=256)]
Account = Annotated[str, Field(pattern=r"^[0-9]{12}$")]
Currency = Annotated[str, Field(pattern=r"^[A-Z]{3}$")]


class CostDay(BaseModel):
    """What a project cost on a day of AWS, which is a day of UTC and not of the project's zone."""

    project_id: str
    day: date = Field(description="The UTC date.")
    day_start: datetime
    day_end: datetime
    zone: Literal["UTC"]
    currency: str = Field(description="A day has a row for each currency.")
    amount: Amount = Field(description="The unblended cost, exactly as AWS says.")
    requests: int = Field(description="Events of the project on that UTC day, of all models.")
    cost_per_1000: Amount | None = Field(
        description="`amount` for every 1,000 of these requests; null without any."
    )
    services: dict[str, Amount] = Field(description="The parts of the amount by AWS service.")
    estimated: bool = Field(description="Whether AWS may still change it: the bill is not final.")
    pulled_at: datetime


class PulledCosts(BaseModel):
    """What became of the days that were asked for."""

    project_id: str
    first: date
    last: date
    pulled: list[date] = Field(description="Days that were written now.")
    kept: list[date] = Field(description="Days that were there and stay as they were.")
    unanswered: list[date] = Field(description="Days of which AWS said nothing.")
    aws_requests: int = Field(description="Requests that AWS was sent, each of which it charges for.")
    items: list[CostDay] = Field(description="All of these days as they stand now, the newest first.")


class CostFilter(BaseModel):
    """Which of AWS's costs are a project's, and how the schedule stands."""

    project_id: str
    tags: dict[str, list[str]]
    services: list[str]
    accounts: list[str]
    currency: str
    updated_at: datetime
    updated_by: str
    next_pull_at: datetime = Field(description="When the schedule asks AWS next.")
    pulled_at: datetime | None = Field(description="When AWS last answered the schedule.")
    failures: int = Field(description="How often in a row it did not.")
    last_error: str | None = Field(description="Why it did not the last time; null: it did.")


class NewCostFilter(Strict):
    """All that is named must fit, each with one of its values. Something has to be named."""

    project_id: str = Field(min_length=1, max_length=256, examples=["proj_123"])
    tags: dict[TagKey, Annotated[list[Text], Field(min_length=1, max_length=100)]] = Field(
        {},
        max_length=20,
        description="Cost allocation tags and their values.",
        examples=[{"project": ["churn"]}],
    )
    services: list[Service] = Field(
        [], max_length=100, description="By Cost Explorer's names.", examples=[["Amazon SageMaker"]]
    )
    accounts: list[Account] = Field(
        [], max_length=100, description="Linked accounts, twelve digits each.", examples=[["123456789012"]]
    )
    currency: Currency = Field("USD", description="The one that AWS bills in; alerts look at it.")

    @model_validator(mode="after")
    def _names_something(self) -> NewCostFilter:
        if not (self.tags or self.services or self.accounts):
            raise ValueError(
                "name `tags`, `services` or `accounts`: without, the whole account would be the project's"
            )
        return self
