"""Who may see a document: its owner, whom he lists, or everybody of the tenant."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Visibility = Literal["private", "group", "tenant"]
_USER, _GROUP = "u:", "g:"


@dataclass(frozen=True, slots=True)
class Rights:
    """A document's owner and access list.

    ``private``: the owner and the users listed. ``group``: also who is in a group listed. ``tenant``: everybody.
    """

    owner: str | None = None
    visibility: Visibility = "tenant"
    users: frozenset[str] = frozenset()
    groups: frozenset[str] = frozenset()

    @property
    def subjects(self) -> frozenset[str] | None:
        """Those who may see the document; None is everybody of the tenant."""
        if self.visibility == "tenant":
            return None
        owner = () if self.owner is None else (self.owner,)
        return subjects((*owner, *self.users), self.groups if self.visibility == "group" else ())

    def are_open_to(self, asking: frozenset[str] | None) -> bool:
        """Tell whether one of some subjects of the same tenant may see the document; None may see every one."""
        own = self.subjects
        return own is None or asking is None or not own.isdisjoint(asking)

    def is_wider_than(self, before: "Rights") -> bool:
        """Tell whether somebody may see the document now who might not before."""
        earlier, now = before.subjects, self.subjects
        return earlier is not None and (now is None or not now <= earlier)


def subjects(users: Iterable[str], groups: Iterable[str]) -> frozenset[str]:
    """Return what users and groups are called in access lists, so that none can pass for the other."""
    return frozenset(_USER + user for user in users) | frozenset(_GROUP + group for group in groups)


def from_subjects(owner: str | None, visibility: Visibility, listed: Iterable[str]) -> Rights:
    """Return the rights that a stored access list stands for."""
    names = list(listed)
    users = frozenset(name.removeprefix(_USER) for name in names if name.startswith(_USER))
    groups = frozenset(name.removeprefix(_GROUP) for name in names if name.startswith(_GROUP))
    return Rights(owner, visibility, users, groups)
