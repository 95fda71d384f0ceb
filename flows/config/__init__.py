"""The configuration: frozen records, read from TOML, validated where they enter."""
