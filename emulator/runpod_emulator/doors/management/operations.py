"""Operations of GraphQL: parsed, held against the part of the schema that there is here, and executed."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, NamedTuple

from graphql import (
    DocumentNode,
    ExecutionResult,
    GraphQLError,
    NoSchemaIntrospectionCustomRule,
    OverlappingFieldsCanBeMergedRule,
    Source,
    TokenKind,
    build_schema,
    execute,
    parse,
    specified_rules,
    validate,
)
from graphql.language import Lexer
from graphql.validation import FieldsOnCorrectTypeRule, KnownArgumentNamesRule, KnownTypeNamesRule

from runpod_emulator.core.errors import EmulatorError, NotEmulated, RequestError
from runpod_emulator.core.graphql_errors import GraphQLInvalid

MOST_WORDS = 2_500
"""Tokens of an operation: the longest of the official clients, with a hundred variables, has 1,000."""
LONGEST = 100_000
"""Characters of an operation: each costs some of Python's time."""
DEEPEST = 20
"""Brackets within brackets: the official clients have 5, and each costs the parser several frames of Python's stack."""
_OPENING = (TokenKind.BRACE_L, TokenKind.BRACKET_L, TokenKind.PAREN_L)
_CLOSING = (TokenKind.BRACE_R, TokenKind.BRACKET_R, TokenKind.PAREN_R)

_SCHEMA = build_schema("""
scalar EndpointInput
scalar UpdateEndpointTemplateInput
scalar SaveTemplateInput
scalar Nothing
scalar Number

type Query {
  myself: User
  podTemplate(id: String!): PodTemplate
}

type Mutation {
  saveEndpoint(input: EndpointInput!): Endpoint
  updateEndpointTemplate(input: UpdateEndpointTemplateInput): Endpoint
  deleteEndpoint(id: String!): Nothing
  saveTemplate(input: SaveTemplateInput): PodTemplate
}

type User {
  id: String
  endpoints: [Endpoint]
  endpoint(id: String!): Endpoint
  podTemplates: [PodTemplate]
}

type Endpoint {
  id: String!
  name: String!
  activeBuildid: String
  aiKey: String
  allowedCudaVersions: String
  computeType: String
  createdAt: String
  env: [EnvironmentVariable]
  executionTimeoutMs: Int
  flashBootType: String
  flashEnvironmentId: String
  gpuCount: Int
  gpuIds: String
  idePodId: String
  idleTimeout: Int
  instanceIds: [String]
  locations: String
  minCudaVersion: String
  networkVolume: NetworkVolume
  networkVolumeId: String
  networkVolumeIds: [NetworkVolumeOfEndpoint]
  scalerType: String
  scalerValue: Number
  template: PodTemplate
  templateId: String
  type: String
  userId: String
  version: Int
  workersMax: Int
  workersMin: Int
  workersPFBTarget: Int
  workersStandby: Int
}

type NetworkVolume {
  id: String
  dataCenterId: String
}

type NetworkVolumeOfEndpoint {
  networkVolumeId: String
  dataCenterId: String
}

type PodTemplate {
  id: String!
  name: String
  containerDiskInGb: Int
  containerRegistryAuthId: String
  dockerArgs: String
  env: [EnvironmentVariable]
  imageName: String
  isPublic: Boolean
  isServerless: Boolean
  ports: String
  readme: String
  volumeInGb: Int
  volumeMountPath: String
}

type EnvironmentVariable {
  key: String
  value: String
}
""")
"""What the official clients ask for. What they hand in is checked where it is used: more members of it come and go."""

_OF_WHAT_THERE_IS = (
    FieldsOnCorrectTypeRule, NoSchemaIntrospectionCustomRule, KnownArgumentNamesRule, KnownTypeNamesRule,
)  # fmt: skip
"""What these rules refuse may well exist on RunPod."""
_RULES = [
    rule
    for rule in specified_rules
    if rule not in (*_OF_WHAT_THERE_IS, OverlappingFieldsCanBeMergedRule)  # the last takes a time of the square
]


class Told(NamedTuple):
    """What GraphQL answers: `data`, and `errors` where one of the fields could not be had."""

    body: Any
    error: RequestError | None
    """The first of the errors, where it is one of the service's."""


async def run(query: str, variables: Mapping[str, Any] | None, name: str | None, root: Mapping[str, Any]) -> Told:
    """Execute an operation; `root` has what its fields come to, or a function of their arguments.

    Raises GraphQLInvalid, NotEmulated for what the schema here does not have, and whatever a field raises that is no
    EmulatorError.
    """
    document = _parsed(query)
    _check(document)
    chosen = dict(variables) if variables is not None else None
    running = execute(_SCHEMA, document, root, variable_values=chosen, operation_name=name)
    result = await running if inspect.isawaitable(running) else running
    assert isinstance(result, ExecutionResult)
    raised = [error.original_error for error in result.errors or ()]
    for one in raised:
        if one is not None and not isinstance(one, EmulatorError | GraphQLError):
            raise one
    if result.data is None and result.errors:
        raise GraphQLInvalid(result.errors[0].message)
    return Told(result.formatted, next((one for one in raised if isinstance(one, RequestError)), None))


def _parsed(query: str) -> DocumentNode:
    try:
        _measure(query)
        return parse(query, no_location=False)
    except GraphQLError as error:
        raise GraphQLInvalid(error.message) from error


def _measure(query: str) -> None:
    """Refuse what would take the parser long, or too deep; raises GraphQLInvalid, GraphQLError."""
    if len(query) > LONGEST:
        raise GraphQLInvalid(f"the query has more than {LONGEST} characters: send what is long as variables")
    lexer = Lexer(Source(query))
    depth = words = 0
    while (token := lexer.advance()).kind is not TokenKind.EOF:
        words += 1
        depth += (token.kind in _OPENING) - (token.kind in _CLOSING)
        if words > MOST_WORDS:
            raise GraphQLInvalid(f"the query has more than {MOST_WORDS} words: send what is long as variables")
        if depth > DEEPEST:
            raise GraphQLInvalid(f"the query is nested deeper than {DEEPEST} brackets")


def _check(document: DocumentNode) -> None:
    for rule in _OF_WHAT_THERE_IS:
        for error in validate(_SCHEMA, document, [rule]):
            if not error.nodes:
                raise GraphQLInvalid(error.message)
            named: Any = error.nodes[0]
            raise NotEmulated(f"{named.name.value} of the management API (GraphQL)")
    for error in validate(_SCHEMA, document, _RULES):
        raise GraphQLInvalid(error.message)
