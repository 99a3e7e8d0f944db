"""Broken on purpose: is written with what a later penjing has."""

from penjing.contract import SomethingOfTheFuture

NAME = SomethingOfTheFuture.NAME
