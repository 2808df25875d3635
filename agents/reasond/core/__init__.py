"""The agents' decisions as pure code: facts in, effects out; no clock, socket, thread or file.

Used by the runtime (real services) and the simulation (virtual time) alike.
"""
