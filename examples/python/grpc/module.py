"""What every module over gRPC does: who it is, its instances, and their turns in their order.

An actor is a class with __init__(args), a class method restore(schema, state), save(), turn(turn), and, if it goes back
to older schemas, a static method downgrade(state, to_schema). What is JSON to teneral is Python's own values here.
"""
import concurrent.futures
import json
import os
import threading
import traceback

import grpc
import module_pb2 as pb
import module_pb2_grpc


def fault(error):
    traceback.print_exc()
    return pb.Fault(kind=pb.FAULT_PANIC, text=f"{type(error).__name__}: {error}")


class Module(module_pb2_grpc.ModuleServicer):
    def __init__(self, actor):
        self.actor, self.held, self.lock = actor, {}, threading.Lock()

    def Describe(self, asked, _):
        digest = bytes.fromhex(os.environ["TENERAL_MODULE_DIGEST"])
        return pb.DescribeReply(protocol=1, nonce=asked.nonce, digest=digest, pid=os.getpid())

    def make(self, instance, make):
        try:
            with self.lock:
                self.held[instance] = make()
            return pb.MadeReply()
        except Exception as error:
            return pb.MadeReply(fault=fault(error))

    def Create(self, asked, _):
        return self.make(asked.instance, lambda: self.actor(json.loads(asked.args)))

    def Restore(self, asked, _):
        return self.make(asked.instance, lambda: self.actor.restore(asked.schema, json.loads(asked.state)))

    def state(self, state):
        try:
            return pb.StateReply(state=json.dumps(state()).encode())
        except Exception as error:
            return pb.StateReply(fault=fault(error))

    def Save(self, asked, _):
        with self.lock:
            return self.state(lambda: self.held[asked.instance].save())

    def Downgrade(self, asked, _):
        return self.state(lambda: self.actor.downgrade(json.loads(asked.state), asked.to_schema))

    def Discard(self, asked, _):
        with self.lock:
            self.held.pop(asked.instance, None)
        return pb.DiscardReply()

    def Work(self, frames, context):
        context.send_initial_metadata(())  # before a turn is read: the host waits for it
        for frame in frames:
            with self.lock:
                yield pb.TurnsDone(turns=[self.turn(turn) for turn in frame.turns])

    def turn(self, turn):
        done = pb.TurnDone(instance=turn.instance, number=turn.number)
        if turn.instance not in self.held:
            done.fault.kind = pb.FAULT_GONE
            return done
        try:
            body = json.loads(turn.body) if turn.name else None
            done.effects.extend(self.held[turn.instance].turn(turn, body))
        except Exception as error:
            del self.held[turn.instance]
            done.fault.CopyFrom(fault(error))
        return done


def reply(value):
    """Answers who waits for this turn."""
    return pb.Effect(reply=pb.Reply(body=json.dumps(value).encode()))


def tell(to, name, **body):
    return pb.Effect(tell=pb.Tell(to=to, name=name, body=json.dumps(body).encode()))


def serve(actor):
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(max_workers=4))
    module_pb2_grpc.add_ModuleServicer_to_server(Module(actor), server)
    server.add_insecure_port(os.environ["TENERAL_MODULE_LISTEN"])
    server.start()
    server.wait_for_termination()
