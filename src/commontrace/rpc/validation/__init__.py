"""The rules of the contract: a function a request message, a noun a file."""
