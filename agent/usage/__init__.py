"""What the host, its pods and their containers use: read from the kernel, told to the server."""
