"""Proofs of identity: secrets, tokens, passwords."""
