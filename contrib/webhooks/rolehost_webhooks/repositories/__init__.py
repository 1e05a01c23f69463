"""What is asked of the tables, one module a table. Statements only; rules are in services.

Every function runs in the calling thread's session, within the unit of work when one is open.
"""
