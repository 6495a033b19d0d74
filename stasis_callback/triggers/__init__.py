"""Triggers of callbacks. A trigger reads its request, has it admitted, and answers the requester."""
