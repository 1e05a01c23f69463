"""The rules of webhook delivery, called by routes, handler and commands alike.

Each function that writes opens (or joins) a unit of work.
"""
