"""What can go wrong between AWS and a project's costs, and what does one do then?

CostError                   the costs could not be pulled
  NoAwsCredentialsError     this process has no AWS credentials
  AwsRefusedError           AWS will not answer as things stand: rights, credentials, or the filter
  AwsUnavailableError       AWS does not answer now (retriable): throttled, unreachable, or not ready
  BadBillError              AWS answered what its documentation does not have
"""

from __future__ import annotations


class CostError(Exception):
    """The costs could not be pulled."""

    retriable = False


class NoAwsCredentialsError(CostError):
    """This process has no AWS credentials."""

    def __init__(self) -> None:
        super().__init__(
            "there are no AWS credentials: give this process AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, "
            "a mounted ~/.aws, or a role (docs/costs.md)"
        )


class AwsRefusedError(CostError):
    """AWS will not answer as things stand."""


class AwsUnavailableError(CostError):
    """AWS does not answer now."""

    retriable = True


class BadBillError(CostError):
    """AWS answered what its documentation does not have."""
