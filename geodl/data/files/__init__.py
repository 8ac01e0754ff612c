"""Files of shapes: a module a format reads what programs write, and says what is wrong with what it can't."""
