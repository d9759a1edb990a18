"""The asynchronous client, imported from `commontrace.client`. All but `calls` is what `sync` is generated from."""
