"""The desk: the web pages on which people follow and decide what the API does.

Pages are rendered here, on the server, and work without JavaScript; what little there is of it only refreshes them.
Every page stands for an operation of the API and asks for the same scope; whoever signs in is the same actor.
"""
