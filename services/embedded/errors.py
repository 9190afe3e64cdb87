"""The one error of embedded servers."""


class EmbeddedError(Exception):
    """A server cannot be started; the message is one line for the person who ran the command."""
