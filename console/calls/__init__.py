"""The console API's features as functions over a `Visitor`: their answers as this client reads them.

Fields that no page shows are left out of the structs; all money is micro-credits or a currency's minor units.
Every function raises `ApiError`.
"""
