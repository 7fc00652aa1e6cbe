"""Which costs are a project's, and how is that said to Cost Explorer?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class CostFilter:
    """What makes a cost a project's: all that is named must fit, each with one of its values.

    Parameters
    ----------
    tags : mapping
        Cost allocation tags with the values that count.
    services : sequence of str
        AWS services by Cost Explorer's names, such as "Amazon SageMaker"; empty: all.
    accounts : sequence of str
        Linked accounts, twelve digits each; empty: all.
    currency : str
        The one that AWS bills in; what comes in another is kept, but alerts do not look at it.
    """

    tags: Mapping[str, Sequence[str]] = field(default_factory=dict)
    services: Sequence[str] = ()
    accounts: Sequence[str] = ()
    currency: str = "USD"

    @property
    def is_empty(self) -> bool:
        """Whether nothing is named: it would be the whole account."""
        return not (self.tags or self.services or self.accounts)

    def expression(self) -> dict[str, Any]:
        """The filter as Cost Explorer's `Expression`.

        >>> CostFilter(services=["AWS Lambda"]).expression()
        {'Dimensions': {'Key': 'SERVICE', 'Values': ['AWS Lambda']}}
        >>> [next(iter(part)) for part in CostFilter({"team": ["ml"]}, accounts=["123456789012"]).expression()["And"]]
        ['Tags', 'Dimensions']
        """
        parts: list[dict[str, Any]] = [
            {"Tags": {"Key": key, "Values": list(values)}} for key, values in sorted(self.tags.items())
        ]
        for key, values in (("SERVICE", self.services), ("LINKED_ACCOUNT", self.accounts)):
            if values:
                parts.append({"Dimensions": {"Key": key, "Values": list(values)}})
        return parts[0] if len(parts) == 1 else {"And": parts}
