"""Peers' servers, each a program by itself, which runs in an environment without Trunkline."""
