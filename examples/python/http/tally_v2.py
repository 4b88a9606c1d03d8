#!/usr/bin/env python3
"""The tally that counts its additions as well, with nothing but Python's standard library. README.md says how it is packed."""
import http.server, json, os, socketserver

tallies = {}  # the states, by the numbers of their instances

class Module(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.answer(getattr(self, self.path.removeprefix("/v1/"))(**asked))

    def do_GET(self):  # /healthz
        self.answer({})

    def answer(self, answer):
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def describe(self, nonce, **_):
        return {"protocol": 1, "nonce": nonce, "digest": os.environ["TENERAL_MODULE_DIGEST"]}

    def create(self, instance, args):
        tallies[instance] = {"total": args["start"], "adds": 0}
        return {}

    def restore(self, instance, schema, state):
        if schema == 1:
            state = {"total": state["total"], "adds": 0}
        tallies[instance] = state
        return {}

    def downgrade(self, state, to_schema):
        return {"state": {"total": state["total"]}}

    def save(self, instance, **_):
        return {"state": tallies[instance]}

    def discard(self, instance):
        tallies.pop(instance, None)
        return {}

    def deliver(self, turns):
        return {"turns": [self.turn(tallies[turn["instance"]], turn) for turn in turns]}

    def turn(self, tally, turn):
        if turn.get("name") == "Add":
            tally["total"] += turn["body"]["amount"]
            tally["adds"] += 1
        return {"reply": tally} if turn.get("name") == "Total" else {}

    def log_message(self, *_):  # a line for each request is too much
        pass

path = os.environ["TENERAL_MODULE_LISTEN"].removeprefix("unix:")
socketserver.UnixStreamServer(path, Module).serve_forever()
