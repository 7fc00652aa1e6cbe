"""Where do messages go? A channel a file; made of the settings, which hold the secrets."""
