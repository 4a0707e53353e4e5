"""What the stack stands on: preflight, packages, NVIDIA driver, Docker."""
