"""Output codes: two phases, decoding by distance, and the state between."""

import pytest
import torch
from pytorch_lightning.callbacks import ModelCheckpoint

from bayesft.drift import LogNormalDrift
from bayesft.errors import SettingError
from bayesft.methods import ERM, FTNA
from bayesft.models import MLP, add_sites, site_names
from bayesft.robustness import evaluate
from bayesft.tasks import Classification
from tests.helpers.trainings import ONE_CYCLE, digits, trainer


def ftna(hidden=(32,), **settings) -> FTNA:
    torch.manual_seed(0)
    return FTNA(
        MLP(image_size=8, hidden=hidden),
        task=Classification(10),
        optimizer=lambda p: torch.optim.Adam(p, lr=0.01),
        scheduler=ONE_CYCLE,
        **settings,
    )


def test_the_nearest_codeword_wins_and_ties_go_to_the_softer():
    module = ftna(distance=5)
    words = module.codewords.float()
    assert (module.decode(words).argmax(1) == torch.arange(10)).all()
    # Two wrong bits of five apart are corrected, whichever they are.
    for one in range(words.shape[1]):
        for other in range(one):
            wrong = words.clone()
            wrong[:, [one, other]] = 1 - wrong[:, [one, other]]
            assert (module.decode(wrong).argmax(1) == torch.arange(10)).all()
    # Between two codewords as far apart in bits: the surer bits decide.
    a, b = words[0], words[1]
    places = (a != b).nonzero().flatten()
    half = len(places) // 2
    between = a.clone()
    between[places[:half]] = b[places[:half]]
    if len(places) % 2 == 0:
        tie = between.clone()
        # Sure of what speaks for the second, unsure of what speaks for the first.
        tie[places[half:]] = (a[places[half:]] - 0.5) * 0.1 + 0.5
        scores = module.decode(tie[None])[0]
        assert scores[1] > scores[0]


def test_phases(tmp_path):
    module = ftna(plain=0.5)
    seen = []
    original = module.training_loss

    def watched(images, labels):
        seen.append((module.current_epoch, bool(module.coded)))
        return original(images, labels)

    module.training_loss = watched
    trainer(tmp_path, max_epochs=4).fit(module, digits())
    assert set(seen) == {(0, False), (1, False), (2, True), (3, True)}


def test_the_first_phase_is_plain_training(tmp_path):
    """From the same weights to the same weights; the units of the code wait beside the logits."""
    torch.manual_seed(0)
    erm = ERM(
        MLP(image_size=8, hidden=(32,)),
        task=Classification(10),
        optimizer=lambda p: torch.optim.Adam(p, lr=0.01),
        scheduler=ONE_CYCLE,
    )
    coded = ftna(plain=0.5)
    code = coded.model.layers[-1][0].weight[10:].detach().clone()
    for name, value in erm.model.state_dict().items():
        assert torch.equal(coded.model.state_dict()[name][: len(value)], value)
    for module in (erm, coded):
        run = trainer(tmp_path, max_epochs=4)

        def stop(module=module, run=run):
            run.should_stop = module.current_epoch == 1

        module.on_train_epoch_end = stop
        run.fit(module, digits())
    assert coded.ordered
    assert not coded.coded
    for name, value in erm.model.state_dict().items():
        torch.testing.assert_close(coded.model.state_dict()[name][: len(value)], value)
    assert torch.equal(coded.model.layers[-1][0].weight[10:], code)


def test_a_checkpoint_of_the_last_plain_epoch_answers_by_its_logits(tmp_path, caplog):
    """As it did when it was scored, and not by bits that nobody has trained."""
    kept = ModelCheckpoint(tmp_path, monitor="val/acc", mode="max")
    module = ftna(plain=0.5)
    run = trainer(tmp_path, kept, max_epochs=6, enable_checkpointing=True)
    # So that no later epoch is as good.
    module.on_train_epoch_end = lambda: setattr(run, "should_stop", module.current_epoch == 3)
    run.fit(module, digits())
    saved = torch.load(kept.best_model_path, weights_only=True)
    assert saved["epoch"] == 2
    again = ftna(plain=0.5)
    again.load_state_dict(saved["state_dict"])
    [found] = trainer(tmp_path).validate(again, digits(), verbose=False)
    assert found["val/acc"] == pytest.approx(float(kept.best_model_score))
    trainer(tmp_path).test(again, digits(), verbose=False)
    assert "first phase" in caplog.text


def test_a_state_of_earlier_versions_is_taken():
    state = ftna().state_dict()
    state["coded"].fill_(True)
    del state["ordered"]
    module = ftna()
    module.load_state_dict(state)
    assert module.ordered


def test_a_training_without_validation_cannot_order_its_codewords(tmp_path):
    with pytest.raises(SettingError, match=r"no validation.*method.plain=0"):
        trainer(tmp_path, limit_val_batches=0).fit(ftna(), digits())


def test_it_learns_in_both_phases(tmp_path):
    module = ftna(hidden=(96, 32))
    run = trainer(tmp_path, max_epochs=12)
    run.fit(module, digits(batch_size=64))
    assert module.coded
    assert run.callback_metrics["val/acc"] > 0.9


def test_without_a_first_phase(tmp_path):
    module = ftna(plain=0.0)
    run = trainer(tmp_path, max_epochs=8)
    run.fit(module, digits(batch_size=64))
    assert run.callback_metrics["val/acc"] > 0.85


def test_confusion_is_of_the_last_plain_epoch_and_orders_the_codewords(tmp_path):
    module = ftna(plain=0.5)
    before = module.codewords.clone()
    trainer(tmp_path, max_epochs=4).fit(module, digits())
    assert not torch.equal(module.codewords, before)
    assert {tuple(w) for w in module.codewords.tolist()} == {tuple(w) for w in before.tolist()}


def test_a_resumed_training_goes_on_in_its_phase(tmp_path):
    whole = ftna()
    run = trainer(tmp_path, max_epochs=4)
    run.fit(whole, digits())
    for cut_at in (1, 3):
        first = ftna()
        cut = trainer(tmp_path, max_epochs=4)

        def stop(epoch=cut_at, module=first, run=cut):
            if module.current_epoch + 1 == epoch:
                run.should_stop = True

        first.on_train_epoch_end = stop
        cut.fit(first, digits())
        cut.save_checkpoint(tmp_path / "cut.ckpt")
        second = ftna()
        again = trainer(tmp_path, max_epochs=4)
        again.fit(second, digits(), ckpt_path=tmp_path / "cut.ckpt", weights_only=True)
        for name, value in whole.state_dict().items():
            assert torch.equal(value, second.state_dict()[name]), (cut_at, name)


def test_it_helps_under_drift(tmp_path):
    data = digits(batch_size=64)
    torch.manual_seed(0)
    plain = ERM(
        MLP(image_size=8, hidden=(96, 32)),
        task=Classification(10),
        optimizer=lambda p: torch.optim.Adam(p, lr=0.01),
        scheduler=ONE_CYCLE,
    )
    curves = []
    for module in (plain, ftna(hidden=(96, 32))):
        trainer(tmp_path, max_epochs=20).fit(module, data)
        curve = evaluate(module, data.val_dataloader(), LogNormalDrift(), [0.6, 0.9], 200, seed=5)
        curves.append(curve)
    assert curves[1].mean > curves[0].mean + 2 * (curves[0].stderr + curves[1].stderr)


def test_sites_of_the_network_stay(tmp_path):
    torch.manual_seed(0)
    model = torch.nn.Sequential(
        torch.nn.Flatten(), torch.nn.Linear(64, 16), torch.nn.ReLU(), torch.nn.Linear(16, 10)
    )
    add_sites(model, (1, 8, 8), last=True, dropout=0.2)
    module = FTNA(model, task=Classification(10))
    assert site_names(module) == ("1", "3")
    trainer(tmp_path, max_epochs=2).fit(module, digits())


@pytest.mark.parametrize(
    ("model", "settings", "message"),
    [
        (lambda: MLP(image_size=8), {"plain": 1.0}, "`method.plain`.*from 0 to below 1.*1.0"),
        (lambda: MLP(image_size=8), {"length": 2}, "`method.length=2` bits"),
        (lambda: MLP(image_size=8, num_classes=7), {}, "the 10 logits, but in MLP its last one"),
        (lambda: torch.nn.Flatten(), {}, "in Flatten there is none"),
    ],
)
def test_bad_settings_are_named(model, settings, message):
    with pytest.raises(SettingError, match=message):
        FTNA(model(), task=Classification(10), **settings)
