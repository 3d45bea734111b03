"""Tokens of an identity provider (OpenID Connect) in place of API keys: whose they are, and what that one may do."""
