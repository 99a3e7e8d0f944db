"""Broken on purpose: imports a package that it does not declare and nobody has."""

import a_package_that_is_not_there

NAME = a_package_that_is_not_there.NAME
