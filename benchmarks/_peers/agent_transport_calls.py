"""Plivo calls on agent-transport's endpoint, echoed by a thread a call.

python agent_transport_calls.py PORT
"""

import contextlib
import sys
import threading

from agent_transport import AudioStreamEndpoint

endpoint = AudioStreamEndpoint(f"127.0.0.1:{sys.argv[1]}", "", "", 8000, 8000, False)
held = set()


def hold(session):
    with contextlib.suppress(RuntimeError):  # the session is over
        while True:
            heard = endpoint.recv_audio_bytes_blocking(session, 200)
            if heard is not None:
                endpoint.send_audio_bytes(session, heard[0], 8000, 1)


def told(event):
    session = getattr(event.get("session"), "session_id", None)
    if session is not None and session not in held:
        held.add(session)
        threading.Thread(target=hold, args=(session,), daemon=True).start()


threading.stack_size(256 * 1024)
endpoint.set_event_sink(told)
threading.Event().wait()
