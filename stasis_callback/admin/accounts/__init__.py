"""Commands about customers, products, accounts and vouchers."""
