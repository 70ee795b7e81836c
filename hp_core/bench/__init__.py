"""The figures behind the claims, each counted or measured when asked for: `hp-portrait bench`."""
