"""Stands for ngrok's agent: says what that logs, and has its local HTTP API (/api/tunnels).

Its first argument is how it behaves: ``fine``, ``bad-token``, ``refused`` or ``mute``. What it says
and answers is as in ngrok's documentation of the agent's API and of its errors, 2026-11-21.
"""

import json
import os
import signal
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer

TOKEN = os.environ["NGROK_AUTHTOKEN"]
behaves = sys.argv[1]
TUNNELS = []


class Api(BaseHTTPRequestHandler):
    def do_GET(self):
        self.answer(200, {"tunnels": TUNNELS, "uri": "/api/tunnels"})

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if behaves == "refused":
            details = {"err": "failed to start tunnel: not your domain.\n\nERR_NGROK_320\n"}
            self.answer(502, {"error_code": 103, "status_code": 502, "details": details})
            return
        host = asked.get("domain", "a-b-c.ngrok-free.app")
        assert asked["schemes"] == ["https"]
        addr = f"http://localhost:{asked['addr']}"
        tunnel = {
            "name": asked["name"],
            "uri": f"/api/tunnels/{asked['name']}",
            "public_url": f"https://{host}",
            "proto": "https",
            "config": {"addr": addr, "inspect": True},
        }
        TUNNELS.append(tunnel)
        self.answer(201, tunnel)

    def answer(self, status, body):
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


def say(**fields):
    print(*(f"{name}={json.dumps(value)}" for name, value in fields.items()), flush=True)


assert TOKEN not in " ".join(sys.argv)  # where all could read it
if behaves == "mute":
    signal.pause()
if behaves == "bad-token":
    err = f"authentication failed: The authtoken is wrong. Your authtoken: {TOKEN}\r\nERR_NGROK_107"
    say(lvl="eror", msg="session closing", obj="tunnels.session", err=err)
    raise SystemExit(1)
server = HTTPServer(("127.0.0.1", 0), Api)
say(lvl="info", msg="starting web service", obj="web", addr=f"127.0.0.1:{server.server_port}")
say(lvl="info", msg="tunnel session started", obj="tunnels.session")
say(lvl="info", msg="client session established", obj="csess", id="1")
server.serve_forever()
