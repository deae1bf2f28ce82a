"""The workers of one endpoint: their states, how they come up, how many are needed. Knows no job."""
