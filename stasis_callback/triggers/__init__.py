"""The ways a callback is asked for. A trigger reads its request, has it admitted, and answers who asked."""
