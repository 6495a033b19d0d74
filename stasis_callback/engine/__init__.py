"""The callback itself: admission, dialling, funding, the conversation, settlement, and recovery after a crash."""
