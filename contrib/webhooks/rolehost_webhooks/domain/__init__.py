"""The rules of webhook delivery, called by routes, handlers and commands.

Each function that writes opens a unit of work, or joins the open one.
"""
