"""The use cases, one verb a file: plain functions from an open transaction and a command to a result.

Flows never commit; the edge (a route, the control loop, the supervisor) opens the transaction.
"""
