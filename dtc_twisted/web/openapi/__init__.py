"""Describe the API for programs: OpenAPI for REST, AsyncAPI for the WebSockets.

Both documents are made from the tables that serve the requests.
"""
