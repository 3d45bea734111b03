"""What is told to others, as Standard Webhooks has it."""
