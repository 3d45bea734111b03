"""Proof and secrecy: receipts, certificates, the audit chain, keyed hashes and row sealing."""
