"""What stands in for OpenStack: as much of each service as others can see."""
