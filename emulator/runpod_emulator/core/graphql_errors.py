"""The part of the error tree that is about requests of GraphQL, which say in `errors` what went wrong."""

from __future__ import annotations

from runpod_emulator.core.errors import BadRequest


class GraphQLInvalid(BadRequest):
    """A body that is no operation of GraphQL, or one that the schema does not allow."""

    row = "error.graphql_invalid"
