"""Starting the stack's services, keeping releases and going back: on the host, as root, by start.py."""
