"""What protects the server, taken out line by line: a test that stays green without it proves nothing.

`python -m tests.mutants [NAME ...]` or `make mutants`.
"""
