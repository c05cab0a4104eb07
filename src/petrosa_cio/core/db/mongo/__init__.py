"""MongoDB, Atlas or a server of one's own: the query store and the configuration versions."""
