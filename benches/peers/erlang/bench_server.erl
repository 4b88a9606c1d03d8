%% The gen_server that the benches talk to; compiled as it stands (version 1) and with -DV2, whose entries have one
%% field more.
-module(bench_server).
-behaviour(gen_server).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2, code_change/3]).

-record(state, {entries, ballast = <<>>, count = 0}).

-ifdef(V2).
-vsn("2").
-define(VERSION, 2).
-else.
-vsn("1").
-define(VERSION, 1).
-endif.

%% As many entries of 32 bytes and a number as are asked for, and bytes besides.
init({Entries, Bytes}) ->
    {ok, State} = init(Entries),
    {ok, State#state{ballast = binary:copy(<<7>>, Bytes)}};
init(Entries) ->
    {ok, #state{entries = maps:from_list([{Key, {binary:copy(<<Key:64>>, 4), Key}} || Key <- lists:seq(1, Entries)])}}.

handle_call({echo, Body}, _From, State) -> {reply, Body, State};
handle_call({get, Key}, _From, State) -> {reply, maps:get(Key, State#state.entries, none), State};
handle_call(count, _From, State) -> {reply, State#state.count, State};
handle_call(version, _From, State) -> {reply, ?VERSION, State}.

handle_cast({add, _Body}, State = #state{count = Count}) -> {noreply, State#state{count = Count + 1}}.

handle_info(_, State) -> {noreply, State}.

-ifdef(V2).
code_change(_From, State = #state{entries = Entries}, _Extra) ->
    {ok, State#state{entries = maps:map(fun(_, {Body, Number}) -> {Body, Number, 0} end, Entries)}}.
-else.
code_change(_From, State, _Extra) -> {ok, State}.
-endif.
