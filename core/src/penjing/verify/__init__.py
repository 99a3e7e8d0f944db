"""Check the artefact: against its budget, across runtimes, and what compression damaged, with honest statistics."""
