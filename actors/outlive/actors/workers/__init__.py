"""Tools in processes of their own: `isolation="process"`."""
