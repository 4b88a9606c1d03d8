/* teneral.h - the teneral plugin ABI, major 1, minor 0. C11; `teneral-abi` mirrors it in Rust and a test compares both.
 *
 * A plugin is a shared library with ONE exported symbol, `teneral_entry`, and one ELF section, `.teneral`, with its
 * manifest (docs/abi.md). The host reads the manifest and checks the file before it maps it; no plugin code runs before.
 *
 * THREADS   [load]  the loader; one call at a time per library
 *           [actor] inside a turn of the actor: any thread, never two calls at once on one instance
 *           [any]   any thread, at any time; instances may be in use elsewhere meanwhile
 * STATES    of an instance: live -> live, or live -> poisoned (`started` or `handle` returned TN_PANIC: only `destroy`
 *           may follow). `save` reads: whatever it returns, the instance stays live and as it was.
 * GROWTH    structs only grow at the end. A reader uses a field only if offsetof + sizeof <= its `size`; unknown tail
 *           bytes are ignored; reserved bytes are 0. Removing or changing a field is a new major. New things come as
 *           extensions first.
 * MEMORY    nothing is freed by the other side. Input is borrowed for the call; output goes to a tn_writer.
 * UNWIND    no exception or panic crosses any function here, in either direction. Host functions never longjmp.
 * EFFECTS   what a handler does to the world is data: tell, ask, after, reply, spawn, stop are buffered by the host and
 *           released, in order, only if the handler returns TN_OK.
 */
#ifndef TENERAL_H
#define TENERAL_H
#include <stddef.h>
#include <stdint.h>

#define TN_ABI_MAJOR 1u
#define TN_ABI_MINOR 0u
#define TN_MAGIC 0x314C4E54u /* "TNL1" */
#define TN_MANIFEST_MAGIC "TNRL" /* the first four bytes of section .teneral */
#define TN_MANIFEST_FORMAT 1u

typedef int32_t tn_status;
enum {
  TN_OK = 0,
  TN_PANIC = -1,           /* a panic was caught; see STATES; text in the writer                     */
  TN_FAILED = -2,          /* the actor's own error; text in the writer                              */
  TN_DECODE = -3,          /* bytes that are no value of the shape their tag claims                  */
  TN_UNKNOWN_MESSAGE = -4, /* no such variant                                                        */
  TN_SCHEMA = -5,          /* no path from that schema or shape to this one                          */
  TN_LIMIT = -6,           /* the writer's budget in bytes or time is spent                          */
  TN_CLOSED = -7,          /* the target is gone, or the host is shutting down                       */
  TN_DENIED = -8,          /* the host has not granted this                                          */
  TN_TIMEOUT = -9,         /* an ask's deadline passed                                               */
  TN_INVALID = -10         /* an argument is out of range, or the call is not allowed here           */
};

/* Why a turn happens: tn_call.cause. UNDELIVERED brings no message: an effect of an earlier turn reached nobody, and
 * `answer` says in words which and why. */
enum { TN_CAUSE_MESSAGE = 0, TN_CAUSE_ANSWER = 1, TN_CAUSE_TIMER = 2, TN_CAUSE_STARTED = 3, TN_CAUSE_DOWN = 4,
       TN_CAUSE_UNDELIVERED = 5 };
/* Why an instance goes live: the argument of `started`. */
enum { TN_STARTED_FRESH = 0, TN_STARTED_UPGRADED = 1, TN_STARTED_ROLLED_BACK = 2, TN_STARTED_RESTARTED = 3 };
/* Levels of log: tracing's. */
enum { TN_ERROR = 1, TN_WARN = 2, TN_INFO = 3, TN_DEBUG = 4, TN_TRACE = 5 };

typedef struct tn_bytes { const uint8_t *ptr; size_t len; } tn_bytes; /* ptr may be NULL when len is 0 */
typedef struct tn_u128 { uint64_t hi, lo; } tn_u128;

/* Which message, in which shape. `variant` is FNV-1a-64 of the variant's name, `fingerprint` FNV-1a-128 of its shape. */
typedef struct tn_tag { uint64_t variant; tn_u128 fingerprint; } tn_tag;

/* An address: `path` is "kind/key" in UTF-8, `id` its FNV-1a-128. */
typedef struct tn_addr { tn_u128 id; tn_bytes path; } tn_addr;

/* Where output goes; made by either side, valid only during the call that passes it. */
typedef struct tn_writer {
  uint32_t size, reserved;
  uint8_t *(*reserve)(struct tn_writer *, size_t n); /* >= n writable bytes, or NULL: over budget, return TN_LIMIT */
  void (*commit)(struct tn_writer *, size_t n);      /* n <= what was reserved; may be called many times           */
} tn_writer;

/* The host as a library sees it; lives as long as the process. */
typedef struct tn_host {
  uint32_t size, magic;
  uint16_t abi_major, abi_minor;
  uint32_t reserved;
  const void *(*get_extension)(const struct tn_host *, const char *id);                            /* [any] NULL: not offered */
  void (*log)(const struct tn_host *, uint32_t level, tn_bytes target, tn_bytes text);             /* [any] copies            */
} tn_host;

/* The host as a turn sees it. `turn` is tn_call.turn; no function may be called after the turn's call returned.
 * All copy what they are given. All are [actor]. */
typedef struct tn_actor_host {
  uint32_t size, reserved;
  tn_status (*tell)(void *turn, const tn_addr *to, const tn_tag *tag, tn_bytes body);
  /* The answer comes back as a turn with cause ANSWER, message `then` and the answer beside it. `reply` is the shape
   * the asker expects. *call_id names the call in logs; may be NULL. */
  tn_status (*ask)(void *turn, const tn_addr *to, const tn_tag *tag, tn_bytes body, tn_u128 reply, uint64_t timeout_ns,
                   const tn_tag *then, tn_bytes then_body, uint64_t *call_id);
  /* Send oneself a message after `delay_ns`; every `period_ns` from then on if that is not 0. *timer_id: for cancel. */
  tn_status (*after)(void *turn, uint64_t delay_ns, uint64_t period_ns, const tn_tag *tag, tn_bytes body,
                     uint64_t *timer_id);
  tn_status (*cancel_timer)(void *turn, uint64_t timer_id);
  /* Answer a call, this turn's or an earlier one. Refused with TN_SCHEMA unless `shape` is what the asker expects. */
  tn_status (*reply)(void *turn, uint64_t epoch, uint64_t call_id, tn_u128 shape, tn_bytes body);
  /* Start `kind/key`, supervised by this actor. `version` may be empty: the kind's default. */
  tn_status (*spawn)(void *turn, tn_bytes kind, tn_bytes key, tn_bytes version, tn_u128 args_shape, tn_bytes args);
  tn_status (*stop)(void *turn, tn_bytes reason); /* an empty reason is a normal stop */
  uint64_t (*now)(void *turn);                    /* nanoseconds since the Unix epoch; the same all turn long         */
  uint64_t (*random)(void *turn);                 /* 64 random bits                                                   */
} tn_actor_host;

/* The input of one turn. */
typedef struct tn_call {
  uint32_t size;
  uint32_t cause;            /* TN_CAUSE_*                                                       */
  uint32_t index;            /* the message's place in the manifest's table; UINT32_MAX: none    */
  tn_status status;          /* ANSWER: TN_OK and `answer`, or why there is none                 */
  tn_tag tag;                /* the shape that `body` has; an older one is up-cast by the plugin */
  tn_bytes body;             /* borrowed                                                         */
  tn_bytes answer;           /* ANSWER: the reply's bytes, or the error's text; borrowed         */
  tn_u128 answer_shape;
  uint64_t epoch, call_id;   /* what `reply` takes; call_id 0: nobody waits                      */
  tn_u128 reply;             /* the shape the asker expects                                      */
  uint64_t deadline_ns;      /* time the asker still waits at the start of the turn; 0: none     */
  tn_addr self;              /* who handles                                                      */
  tn_addr sender;            /* who sent; an empty path: no actor                                */
  uint8_t trace_id[16];
  const tn_actor_host *host;
  void *turn;
} tn_call;

/* One actor kind; static, in the library. `err` takes the text of whatever is not TN_OK. */
typedef struct tn_class {
  uint32_t size;
  uint32_t state_schema; /* the schema that this code saves and runs */
  const char *kind;      /* equals the manifest's                    */
  /* [any] -> live. Pure: no effects, so the host may rehearse it. */
  tn_status (*create)(tn_u128 args_shape, tn_bytes args, void **self, tn_writer *err);
  /* [any] -> live. schema < state_schema: runs the migration ladder. Pure. */
  tn_status (*restore)(uint32_t schema, tn_bytes state, void **self, tn_writer *err);
  /* [actor, live] once when an instance goes live, before any queued message. NULL: nothing to do. */
  tn_status (*started)(void *self, uint32_t why, const tn_call *, tn_writer *err);
  /* [actor, live -> live | poisoned] one message, one turn. */
  tn_status (*handle)(void *self, const tn_call *, tn_writer *err);
  /* [actor, live -> live] the state as bytes of `state_schema`; `self` unchanged, also when it fails. */
  tn_status (*save)(const void *self, tn_writer *out, tn_writer *err);
  /* [any] frees everything. */
  void (*destroy)(void *self);
} tn_class;

typedef struct tn_plugin {
  uint32_t size, magic;
  uint16_t abi_major, abi_minor;
  uint32_t class_count;            /* 1 in manifest format 1 */
  const tn_class *const *classes;
  tn_status (*init)(const tn_host *, tn_writer *err); /* [load] once per process, before any class function; NULL: none */
  tn_status (*deinit)(void);                          /* [load] at most once, when the process ends; NULL: none         */
  const void *(*get_extension)(const char *id);       /* [any] NULL when not there; itself NULL: there are none         */
} tn_plugin;

/* Extension "teneral.json/1": the plugin's own types from and to JSON. All pure, all [any]. */
#define TN_EXT_JSON "teneral.json/1"
typedef struct tn_json {
  uint32_t size, reserved;
  /* A message by name from JSON; *tag gets its shape, *reply the shape of its answer (0: it has none). */
  tn_status (*message)(tn_bytes name, tn_bytes json, tn_tag *tag, tn_u128 *reply, tn_writer *out, tn_writer *err);
  tn_status (*args)(tn_bytes json, tn_u128 *shape, tn_writer *out, tn_writer *err);
  /* The reply to message `variant`, as JSON. */
  tn_status (*reply)(uint64_t variant, tn_u128 shape, tn_bytes body, tn_writer *out, tn_writer *err);
  /* A snapshot of this library's schema, as JSON; and back. */
  tn_status (*state)(tn_bytes state, tn_writer *out, tn_writer *err);
  tn_status (*state_from)(tn_bytes json, tn_writer *out, tn_writer *err);
} tn_json;

/* Extension "teneral.downgrade/1": a snapshot of this library's schema as one of an older schema. Pure, [any]. */
#define TN_EXT_DOWNGRADE "teneral.downgrade/1"
typedef struct tn_downgrade {
  uint32_t size, reserved;
  tn_status (*downgrade)(tn_bytes state, uint32_t to_schema, tn_writer *out, tn_writer *err);
} tn_downgrade;

/* The only exported symbol. [load] pure. */
const tn_plugin *teneral_entry(void);

#endif
