"""Several observers are told as one is: everything, in order."""

import inspect

from trunkline.events import CallInfo, EndReason, Why
from trunkline.media.passage import Passage
from trunkline.media.playout import Change, ChangeKind
from trunkline.telemetry.observer import CallEnd, HangUp, Observer, Observers, Reply, Turned

CALL = CallInfo(carrier="acme", call_id="call-1")
TOLD = {
    "webhook_refused": ("acme", Turned.SIGNATURE),
    "socket_refused": ("acme", Turned.TOKEN),
    "call_refused": ("acme",),
    "begun": (CALL, 0.1),
    "abandoned": (CALL,),
    "within": (CALL,),
    "joined": (CALL, 0.2),
    "lost": (CALL,),
    "rejoined": (CALL,),
    "first_audio": (CALL, 0.5, 0.1),
    "changed": (CALL, Change(ChangeKind.STARTED, Passage(1), 1.0, 0.0), 0.1),
    "cleared": (CALL, 0.001),
    "over": (CALL, CallEnd(EndReason(Why.COMPLETED), True, 7.0)),
    "hanging_up": (CALL,),
    "hung_up": (CALL, HangUp.CONFIRMED),
    "sent": ("acme", "POST", Reply.OK, 0.1),
    "dialled": ("acme", "answered"),
}
WITHIN = {"within", "hanging_up"}
NAMED = {"call_refused": {"draining": True}}


def recorder(name, heard):
    """An observer that takes down everything it is told."""

    def noting(method):
        def note(self, *args, **named):
            heard.append((name, method, args, named))
            return getattr(Observer, method)(self, *args, **named)

        return note

    return type("Recorder", (Observer,), {method: noting(method) for method in TOLD})()


def test_there_is_nothing_else_to_be_told():
    public = {
        name for name, _ in inspect.getmembers(Observer, inspect.isfunction) if name[0] != "_"
    }
    assert public == set(TOLD)


def test_each_is_told_everything():
    heard = []
    both = Observers([recorder("one", heard), recorder("two", heard)])
    for method, args in TOLD.items():
        named = NAMED.get(method, {})
        done = getattr(both, method)(*args, **named)
        if method in WITHIN:
            with done:
                pass
        assert heard[-2:] == [("one", method, args, named), ("two", method, args, named)]
    assert len(heard) == 2 * len(TOLD)


def test_one_alone_may_care_for_nothing():
    nobody = Observer()
    for method, args in TOLD.items():
        done = getattr(nobody, method)(*args, **NAMED.get(method, {}))
        assert (done is not None) == (method in WITHIN)
