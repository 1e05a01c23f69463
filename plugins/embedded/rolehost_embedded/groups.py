"""The partition assignment of a consumer group: leases and claims in tables.

Every member calculates its own share from the same rows, and moves towards it in two steps. It
first gives up partitions above its share, then takes free ones. So a partition has at most one
owner at any time, and the members agree without a leader.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import NamedTuple

from rolehost.api import Transaction

from rolehost_embedded.topics import Topic, Topics

#: A partition by topic id and number.
PartitionId = tuple[int, int]


class Rebalance(NamedTuple):
    """The changes that a member has to make after a report.

    Attributes:
        lost: the lease had ended, and all claims with it.
        changed: other members must rebalance too, because members left or partitions are free.
        surplus: own partitions above the fair share, to be given up.
        may_claim: whether the member may take free partitions.
    """

    lost: bool
    changed: bool
    surplus: tuple[PartitionId, ...]
    may_claim: bool


class TopicsGone(Exception):
    """The tables were emptied, so the topic ids of a member are no longer valid."""


class Member:
    """The rows of one member.

    Args:
        topics: the stream's topics.
        group: the consumer group.
        name: unique among all members ever.
        subscribed: the topics that the member reads.
        lease: milliseconds for which a report is valid.
        clock: returns the milliseconds since the epoch.
    """

    def __init__(
        self,
        topics: Topics,
        group: str,
        name: str,
        subscribed: Sequence[Topic],
        *,
        lease: int,
        clock: Callable[[], int],
    ) -> None:
        self._database = topics.database
        self._group = group
        self._name = name
        self._topics = subscribed
        self._lease = lease
        self._clock = clock

    def report(self, *, first: bool) -> Rebalance:
        """Renew the lease, remove members whose lease ended, and compare shares.

        Args:
            first: the member joins, so a missing lease is not a loss.

        Raises:
            TopicsGone: call :meth:`set_topics` with the present topics, then report again.
        """
        now = self._clock()
        with self._database.transaction() as transaction:
            expired = self._remove_expired(transaction, now)
            renewed = transaction.execute(
                "UPDATE embedded_members SET expires_at = ? WHERE group_name = ? AND member = ?",
                (now + self._lease, self._group, self._name),
            ).rowcount
            if not renewed:
                for topic in self._topics:
                    if not self._topic_exists(transaction, topic):
                        raise TopicsGone
                self._join(transaction, now)
            surplus: list[PartitionId] = []
            may_claim = False
            for topic in self._topics:
                share, mine, free = self._share_of(transaction, topic)
                surplus.extend((topic.id, number) for number in mine[share:])
                may_claim = may_claim or (len(mine) < share and free > 0)
        return Rebalance(
            lost=not renewed and not first,
            changed=bool(expired) or not renewed,
            surplus=tuple(surplus),
            may_claim=may_claim,
        )

    def set_topics(self, topics: Sequence[Topic]) -> None:
        """Read these topics from now on; they have other ids."""
        self._topics = topics

    def _topic_exists(self, transaction: Transaction, topic: Topic) -> bool:
        found = transaction.execute(
            "SELECT 1 FROM embedded_topics WHERE id = ? AND name = ?", (topic.id, topic.name)
        ).fetchone()
        return found is not None

    def _remove_expired(self, transaction: Transaction, now: int) -> Sequence[tuple[str]]:
        expired = transaction.execute(
            "DELETE FROM embedded_members WHERE group_name = ? AND expires_at <= ?"
            " RETURNING member",
            (self._group, now),
        ).fetchall()
        for (member,) in expired:
            self._delete_member(transaction, member)
        return expired

    def _join(self, transaction: Transaction, now: int) -> None:
        transaction.execute(
            "INSERT INTO embedded_members (group_name, member, expires_at) VALUES (?, ?, ?)",
            (self._group, self._name, now + self._lease),
        )
        transaction.executemany(
            "INSERT INTO embedded_subscriptions (group_name, topic_id, member) VALUES (?, ?, ?)",
            [(self._group, topic.id, self._name) for topic in self._topics],
        )

    def _delete_member(self, transaction: Transaction, member: str) -> None:
        for table in ("embedded_subscriptions", "embedded_claims", "embedded_members"):
            transaction.execute(
                f"DELETE FROM {table} WHERE group_name = ? AND member = ?", (self._group, member)
            )

    def _share_of(self, transaction: Transaction, topic: Topic) -> tuple[int, list[int], int]:
        """Return the fair share of a topic, this member's partitions, and how many are free."""
        members = [
            member
            for (member,) in transaction.execute(
                "SELECT member FROM embedded_subscriptions WHERE group_name = ?"
                " AND topic_id = ? ORDER BY member",
                (self._group, topic.id),
            ).fetchall()
        ]
        claims = transaction.execute(
            "SELECT number, member FROM embedded_claims WHERE group_name = ? AND topic_id = ?"
            " ORDER BY number",
            (self._group, topic.id),
        ).fetchall()
        # The remainder goes to other members for other topics.
        rank = (members.index(self._name) + topic.id) % len(members)
        each, rest = divmod(topic.partitions, len(members))
        share = each + (1 if rank < rest else 0)
        mine = [number for number, member in claims if member == self._name]
        return share, mine, topic.partitions - len(claims)

    def release(self, places: Collection[PartitionId]) -> None:
        """Release these partitions."""
        with self._database.transaction() as transaction:
            transaction.executemany(
                "DELETE FROM embedded_claims WHERE group_name = ? AND topic_id = ?"
                " AND number = ? AND member = ?",
                [(self._group, topic_id, number, self._name) for topic_id, number in places],
            )

    def claim(self) -> dict[PartitionId, int]:
        """Claim free partitions up to the fair share; return the first position to read of each."""
        taken: dict[PartitionId, int] = {}
        with self._database.transaction() as transaction:
            if not self._is_member(transaction):
                return {}
            for topic in self._topics:
                share, mine, _ = self._share_of(transaction, topic)
                free = transaction.execute(
                    "SELECT p.number, coalesce(o.position, 0) FROM embedded_partitions p"
                    " LEFT JOIN embedded_offsets o ON o.group_name = ?"
                    " AND o.topic_id = p.topic_id AND o.number = p.number"
                    " WHERE p.topic_id = ? AND p.number NOT IN (SELECT number"
                    " FROM embedded_claims WHERE group_name = ? AND topic_id = ?)"
                    " ORDER BY p.number LIMIT ?",
                    (self._group, topic.id, self._group, topic.id, max(share - len(mine), 0)),
                ).fetchall()
                for number, position in free:
                    transaction.execute(
                        "INSERT INTO embedded_claims (group_name, topic_id, number, member)"
                        " VALUES (?, ?, ?, ?)",
                        (self._group, topic.id, number, self._name),
                    )
                    taken[topic.id, number] = position
        return taken

    def _is_member(self, transaction: Transaction) -> bool:
        row = transaction.execute(
            "SELECT 1 FROM embedded_members WHERE group_name = ? AND member = ?",
            (self._group, self._name),
        ).fetchone()
        return row is not None

    def commit(self, positions: Mapping[PartitionId, int]) -> None:
        """Store the next position to read of partitions that this member owns."""
        with self._database.transaction() as transaction:
            for (topic_id, number), position in positions.items():
                transaction.execute(
                    "INSERT INTO embedded_offsets (group_name, topic_id, number, position)"
                    " SELECT group_name, topic_id, number, ? FROM embedded_claims"
                    " WHERE group_name = ? AND topic_id = ? AND number = ? AND member = ?"
                    " ON CONFLICT (group_name, topic_id, number)"
                    " DO UPDATE SET position = excluded.position",
                    (position, self._group, topic_id, number, self._name),
                )

    def leave(self) -> None:
        """Remove all rows of this member."""
        with self._database.transaction() as transaction:
            self._delete_member(transaction, self._name)
