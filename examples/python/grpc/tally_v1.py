"""A tally over gRPC. README.md says how it is packed."""
import module


class Tally:
    def __init__(self, args):
        self.total = args["start"]

    @classmethod
    def restore(cls, schema, state):
        return cls({"start": state["total"]})

    def save(self):
        return {"total": self.total}

    def turn(self, turn, body):
        if turn.name == "Add":
            self.total += body["amount"]
        if turn.name == "Total":
            yield module.reply(self.save())


module.serve(Tally)
