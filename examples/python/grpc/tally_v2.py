"""The tally that counts its additions as well. README.md says how it is packed."""
import module


class Tally:
    def __init__(self, args, adds=0):
        self.total, self.adds = args["start"], adds

    @classmethod
    def restore(cls, schema, state):
        # A state of schema 1 has no additions.
        return cls({"start": state["total"]}, state["adds"] if schema == 2 else 0)

    def save(self):
        return {"total": self.total, "adds": self.adds}

    @staticmethod
    def downgrade(state, to_schema):
        return {"total": state["total"]}

    def turn(self, turn, body):
        if turn.name == "Add":
            self.total += body["amount"]
            self.adds += 1
        if turn.name == "Total":
            yield module.reply(self.save())


module.serve(Tally)
