"""Broken on purpose: implements a hook without marking it."""


def penjing_domains():
    return []
