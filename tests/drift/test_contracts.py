"""Every drift model keeps the contract. A new one is a class of two lines here."""

from bayesft.drift import AdditiveDrift, LogNormalDrift, MeasuredDrift, PCMDrift, StuckAtDrift
from tests.helpers.contracts import DriftContract


class TestLogNormal(DriftContract):
    def make(self, **settings):
        return LogNormalDrift(**settings)


class TestAdditive(DriftContract):
    def make(self, **settings):
        return AdditiveDrift(**settings)


class TestMeasured(DriftContract):
    def make(self, **settings):
        written = [k / 100 for k in range(-50, 51)]
        return MeasuredDrift(written, [w + 0.1 * w**2 - 0.01 for w in written], **settings)


class TestMeasuredInPairs(DriftContract):
    def make(self, **settings):
        written = [k / 100 for k in range(101)]
        return MeasuredDrift(written, [w + 0.1 * w**2 for w in written], pairs=True, **settings)


class TestPCM(DriftContract):
    def make(self, **settings):
        return PCMDrift(**settings)


class TestStuckAt(DriftContract):
    def make(self, **settings):
        return StuckAtDrift(**settings)
