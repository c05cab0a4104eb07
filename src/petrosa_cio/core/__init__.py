"""The outside: adapters to NATS, stores, the exchange and the machine. Adapters do not know one another."""
