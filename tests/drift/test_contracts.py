"""Every drift model keeps the contract. A new one is a class of two lines here."""

from bayesft.drift import AdditiveDrift, LogNormalDrift, PCMDrift, StuckAtDrift
from tests.helpers.contracts import DriftContract


class TestLogNormal(DriftContract):
    def make(self, **settings):
        return LogNormalDrift(**settings)


class TestAdditive(DriftContract):
    def make(self, **settings):
        return AdditiveDrift(**settings)


class TestPCM(DriftContract):
    def make(self, **settings):
        return PCMDrift(**settings)


class TestStuckAt(DriftContract):
    def make(self, **settings):
        return StuckAtDrift(**settings)
