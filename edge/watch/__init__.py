"""A folder scored as files arrive."""
