"""Commands about the operators of the console."""
