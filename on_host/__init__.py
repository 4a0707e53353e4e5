"""What travels and runs on hosts and in their containers. It imports itself alone, beside the standard library."""
