%% The benches' work done by Erlang: each case prints `value unit n what` lines.
-module(bench_peer).
-export([main/1]).

-define(BODY, <<1:128>>).

main(Words) ->
    load("v1"),
    run(Words),
    halt(0).

run(["tell", Senders, Messages]) -> tell(list_to_integer(Senders), list_to_integer(Messages));
run(["ask", InFlight, Calls]) -> ask(list_to_integer(InFlight), list_to_integer(Calls));
run(["idle", Actors]) -> idle(list_to_integer(Actors));
run(["load", Times]) -> load_times(list_to_integer(Times));
run(["lease", Times]) -> lease(list_to_integer(Times));
run(["pause", Entries, Bytes]) -> pause(list_to_integer(Entries), list_to_integer(Bytes)).

figure(Value, Unit, N, What) -> io:format("~p ~s ~p ~s~n", [Value, Unit, N, What]).

now_ns() -> erlang:monotonic_time(nanosecond).

beam(Version) ->
    {ok, Binary} = file:read_file(filename:join([os:getenv("PEER_FOLDER"), Version, "bench_server.beam"])),
    Binary.

load(Version) ->
    code:purge(bench_server),
    {module, bench_server} = code:load_binary(bench_server, "bench_server.beam", beam(Version)).

start(Entries) ->
    {ok, Server} = gen_server:start(bench_server, Entries, [{timeout, infinity}]),
    Server.

share(Sorted, Share) -> lists:nth(max(1, round(length(Sorted) * Share)), Sorted).

%% Runs the function in so many processes and gathers what they return.
parallel(Count, Fun) ->
    Self = self(),
    Workers = [spawn_link(fun() -> Self ! {self(), Fun()} end) || _ <- lists:seq(1, Count)],
    [receive {Worker, Result} -> Result end || Worker <- Workers].

%% ---- deliver

tell(Senders, Messages) ->
    Server = start(0),
    Each = Messages div Senders,
    Total = Each * Senders,
    Started = now_ns(),
    parallel(Senders, fun() -> casts(Server, Each) end),
    Total = gen_server:call(Server, count, infinity),
    figure((now_ns() - Started) / Total, "ns/msg", Total, "").

casts(_, 0) -> ok;
casts(Server, Left) ->
    gen_server:cast(Server, {add, ?BODY}),
    casts(Server, Left - 1).

ask(InFlight, Calls) ->
    Server = start(0),
    Started = now_ns(),
    Each = lists:append(parallel(InFlight, fun() -> calls(Server, Calls div InFlight, []) end)),
    Took = now_ns() - Started,
    Sorted = lists:sort(Each),
    N = length(Sorted),
    figure(N * 1.0e9 / Took, "calls/s", N, ""),
    figure(share(Sorted, 0.5), "ns", N, "p50"),
    figure(share(Sorted, 0.99), "ns", N, "p99").

calls(_, 0, Each) -> Each;
calls(Server, Left, Each) ->
    Asked = now_ns(),
    ?BODY = gen_server:call(Server, {echo, ?BODY}, infinity),
    calls(Server, Left - 1, [now_ns() - Asked | Each]).

%% ---- idle

idle(Actors) ->
    erlang:garbage_collect(),
    Before = resident_bytes(),
    Started = now_ns(),
    Servers = [start(0) || _ <- lists:seq(1, Actors)],
    figure((now_ns() - Started) / Actors, "ns", Actors, "spawn"),
    figure((resident_bytes() - Before) / Actors, "bytes", Actors, "memory"),
    0 = gen_server:call(hd(Servers), count).

resident_bytes() ->
    {ok, Statm} = file:read_file("/proc/self/statm"),
    [_, Pages | _] = string:lexemes(binary_to_list(Statm), " \n"),
    list_to_integer(Pages) * 4096.

%% ---- load

load_times(Times) ->
    Beams = [beam("v1"), beam("v2")],
    Each = lists:sort([load_once(lists:nth(1 + N rem 2, Beams)) || N <- lists:seq(1, Times)]),
    figure(share(Each, 0.5) / 1000, "us", Times, "").

load_once(Binary) ->
    code:purge(bench_server),
    Started = now_ns(),
    {module, bench_server} = code:load_binary(bench_server, "bench_server.beam", Binary),
    now_ns() - Started.

%% ---- pause

lease(Times) ->
    Server = start(0),
    Each = lists:sort([lease_once(Server) || _ <- lists:seq(1, Times)]),
    figure(share(Each, 0.5) / 1000, "us", Times, "").

lease_once(Server) ->
    Started = now_ns(),
    ok = sys:suspend(Server),
    ok = sys:resume(Server),
    now_ns() - Started.

%% One upgrade under load: 10,000 casts a second, those due sent each millisecond, and 10,000 calls a second.
pause(Entries, Bytes) ->
    warm(),
    Server = start({Entries, Bytes}),
    Caster = spawn_link(fun() -> caster(Server, now_ns(), 0) end),
    Caller = spawn_link(fun() -> caller(Server, max(Entries, 1), now_ns(), now_ns(), 0, 0) end),
    timer:sleep(300),
    window(Caller),
    timer:sleep(500),
    Control = window(Caller),
    Beam = beam("v2"),
    Asked = now_ns(),
    ok = sys:suspend(Server, infinity),
    Paused = now_ns(),
    code:purge(bench_server),
    {module, bench_server} = code:load_binary(bench_server, "bench_server.beam", Beam),
    ok = sys:change_code(Server, bench_server, "1", [], infinity),
    ok = sys:resume(Server, infinity),
    Resumed = now_ns(),
    timer:sleep(500),
    Gap = window(Caller),
    Caster ! {stop, self()},
    Sent = receive {sent, Count} -> Count end,
    Sent = gen_server:call(Server, count, infinity),
    2 = gen_server:call(Server, version, infinity),
    figure(Gap / 1000, "us", 1, "longest gap"),
    figure(Control / 1000, "us", 1, "control gap"),
    figure((Resumed - Paused) / 1000, "us", 1, "paused"),
    figure((Resumed - Asked) / 1000, "us", 1, "").

%% What a first upgrade loads is not part of a later one's pause.
warm() ->
    Server = start(1),
    ok = sys:suspend(Server),
    load("v2"),
    ok = sys:change_code(Server, bench_server, "1", []),
    ok = sys:resume(Server),
    gen_server:stop(Server),
    load("v1"),
    code:purge(bench_server).

caster(Server, Started, Sent) ->
    Due = (now_ns() - Started) div 100000,
    casts(Server, max(0, Due - Sent)),
    receive {stop, From} -> From ! {sent, max(Sent, Due)}
    after 1 -> caster(Server, Started, max(Sent, Due))
    end.

caller(Server, Keys, Next, Last, Longest, Calls) ->
    receive {window, From} ->
        From ! {longest, Longest},
        caller(Server, Keys, Next, now_ns(), 0, Calls)
    after 0 ->
        until(Next),
        gen_server:call(Server, {get, 1 + Calls rem Keys}, infinity),
        Now = now_ns(),
        caller(Server, Keys, max(Next + 100000, Now), Now, max(Longest, Now - Last), Calls + 1)
    end.

until(Time) ->
    case now_ns() < Time of
        true -> erlang:yield(), until(Time);
        false -> ok
    end.

window(Caller) ->
    Caller ! {window, self()},
    receive {longest, Gap} -> Gap end.
