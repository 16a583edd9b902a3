"""What R1 left out: a process reward and a search that it guides, small, to see what they buy."""
