"""How fast is it, and against what: one module a question, each beside a floor."""
