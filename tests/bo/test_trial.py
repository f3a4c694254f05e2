import math

import numpy as np
import pytest

from bayesft.bo.errors import TrialError
from bayesft.bo.trial import Trial


@pytest.mark.parametrize(("fields", "message"), [
    ({"number": -1}, "integer from 0 on, but got -1"),
    ({"number": True}, "but got True"),
    ({"state": "done"}, "Trial 3: expected `state` .* 'done'"),
    ({"state": "finished"}, "a finished trial to have a `value`, but got None"),
    ({"state": "finished", "value": math.nan}, "`value` to be a finite number, but got nan"),
    ({"state": "finished", "value": "0.5"}, "`value` to be a finite number, but got '0.5'"),
    ({"state": "finished", "value": True}, "`value` to be a finite number, but got True"),
    ({"state": "finished", "value": 1, "stderr": -0.1}, "`stderr` to be at least 0"),
    ({"state": "finished", "value": 1, "stderr": math.inf}, "`stderr` to be a finite number"),
    ({"state": "finished", "value": 1, "reason": "x"}, "`reason`"),
    ({"state": "failed"}, "`reason`"),
    ({"repairable": True}, "a failed trial alone to be `repairable`, but got 'running'"),
    ({"state": "failed", "reason": ""}, "`reason`"),
    ({"state": "failed", "reason": "x", "value": 1.0}, "no `value`"),
    ({"value": 0.5}, "a running trial to have no `value`"),
    ({"seconds": math.inf}, "`seconds`"),
])  # fmt: skip
def test_a_trial_that_contradicts_itself_is_refused(fields, message):
    with pytest.raises(TrialError, match=message):
        Trial(**{"number": 3, "params": {"a": 1}, **fields})


def test_scalars_of_other_libraries_become_floats():
    trial = Trial(0, {}, state="finished", value=np.float32(0.5), stderr=np.int64(0))
    assert type(trial.value) is float
    assert (trial.value, trial.stderr) == (0.5, 0.0)


def test_a_trial_keeps_its_own_copy_of_the_point():
    params = {"a": 1}
    trial = Trial(0, params)
    params["a"] = 2
    assert trial.params == {"a": 1}
