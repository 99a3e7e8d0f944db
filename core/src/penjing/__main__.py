"""`python -m penjing`, for environments whose scripts are not on the path."""

from penjing.commands.main import main

if __name__ == "__main__":
    main(prog_name="penjing")
