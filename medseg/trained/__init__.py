"""A checkpoint as a thing to use: read, checked, and built into its network. Nothing in it is ever run as code."""
