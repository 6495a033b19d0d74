"""Pure rules: numbers, money, rating, states. Standard library only; times and amounts come in as arguments."""
