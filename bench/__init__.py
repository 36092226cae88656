"""Every speed figure the README claims, measured on the machine it runs on: `python -m bench`, or `make bench`.

Ratios are taken within one run and between neighbours in time, because machines differ and are rarely idle.
"""
