"""Every drift model keeps the contract. A new one is a class of two lines here."""

from bayesft.drift import LogNormalDrift, StuckAtDrift
from tests.helpers.contracts import DriftContract


class TestLogNormal(DriftContract):
    def make(self, **settings):
        return LogNormalDrift(**settings)


class TestStuckAt(DriftContract):
    def make(self, **settings):
        return StuckAtDrift(**settings)
