"""A gateway of several processes: the supervisor, which serves nothing, and its workers, of which each is a whole node.

docs/architecture.md tells what they say to each other.
"""
