"""Customers, products, accounts and their aliases, vouchers, codes and passwords."""
