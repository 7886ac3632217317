"""Who can sign in. `stack/seed.py` makes them members of the demo's organisations."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct

#: The role that the console API takes for the operator's.
OPERATOR = "runmeter-operator"


class DevUser(Struct, frozen=True, kw_only=True):
    """A person of the demo. `subject` never changes: users are found by it."""

    subject: str
    name: str
    email: str
    about: str
    roles: tuple[str, ...] = ()


ADA = DevUser(subject="dev-ada", name="Ada Moreau", email="ada@example.com", about="Owner of Demo company")
VIC = DevUser(subject="dev-vic", name="Vic Tanaka", email="vic@example.com", about="Viewer of Demo company")
GRACE = DevUser(
    subject="dev-grace", name="Grace Okafor", email="grace@example.com", about="Owner of Second company"
)
OLGA = DevUser(
    subject="dev-olga",
    name="Olga Petrova",
    email="olga@example.com",
    about="Operator of the marketplace",
    roles=(OPERATOR,),
)

USERS: Mapping[str, DevUser] = {user.subject: user for user in (ADA, VIC, GRACE, OLGA)}
