"""Commands about access numbers, the web and e-mail."""
