"""The search backend of the sample's site: on 127.0.0.1:18081, sometimes late, sometimes gone in mid-answer."""
import http.server
import random
import time

random.seed(2026)


class Search(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        dice = random.random()
        if dice < 0.15:
            self.connection.close()
            return
        time.sleep(random.expovariate(12.0) if dice < 0.8 else random.uniform(0.4, 1.5))
        body = b'{"hits":[]}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        """The log that matters is nginx's."""


http.server.ThreadingHTTPServer(("127.0.0.1", 18081), Search).serve_forever()
