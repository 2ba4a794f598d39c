"""The voice guide: what a caller without a screen hears and keys until he is in his conference."""
