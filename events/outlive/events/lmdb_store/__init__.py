"""The log in an LMDB environment: one owner writes, any process reads."""

from outlive.events.lmdb_store.log import LmdbLog
from outlive.events.lmdb_store.reader import LmdbReader
from outlive.events.lmdb_store.verify import Verification, verify
from outlive.events.lmdb_store.visitor import LmdbVisitor

__all__ = ["LmdbLog", "LmdbReader", "LmdbVisitor", "Verification", "verify"]
