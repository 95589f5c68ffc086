"""What holds on a cluster, one module for each part of it."""
