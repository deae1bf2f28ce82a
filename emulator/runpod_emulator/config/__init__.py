"""Settings: what flags, environment variables and the configuration file make of them."""
