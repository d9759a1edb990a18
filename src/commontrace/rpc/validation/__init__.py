"""Validation: the rules of the contract, one function for each request message, one file for each noun."""
