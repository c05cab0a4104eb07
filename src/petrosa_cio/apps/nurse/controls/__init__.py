"""The checks, a room a subject; `table` puts them in order of precedence."""
