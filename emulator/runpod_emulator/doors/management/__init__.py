"""The management API, REST v2: the serverless part."""
