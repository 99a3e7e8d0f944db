"""Broken on purpose: implements a hook that there is not, unmarked."""


def penjing_target():
    return []
