"""NATS: the wire codec, the link, the ledger and the interceptor."""
