"""The gateway: what applications and viewers ask over HTTP."""
