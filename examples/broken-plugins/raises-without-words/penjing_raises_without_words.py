"""Broken on purpose: raises an error whose text cannot be had."""


class WordlessError(Exception):
    def __str__(self):
        raise ValueError("no")


raise WordlessError
