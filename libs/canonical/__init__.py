"""The language Tillstream speaks: sales, refunds, customers, stock, money, time and identity.

Pure: nothing here knows a vendor, a network, a clock or a database.
"""
