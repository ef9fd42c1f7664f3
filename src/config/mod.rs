//! Settings: the YAML file, its defaults, and every mistake in it at once.
