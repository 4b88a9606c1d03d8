/* c-echo 2.0.0: gives back what it is told, and counts. A whole plugin in plain C; docs/abi.md explains the parts.
 *
 * Bodies are as Rust callers write them: little-endian integers, a string as a u64 length and its bytes.
 *   Echo { text: string }  -> Echoed { text: string, echoes: u64 }
 *   Count {}               -> Counted { echoes: u64 }
 *   Size {}                -> Sized { bytes: u64 }
 * State, schema 2: { echoes: u64, bytes: u64 }; schema 1 had no bytes.
 */
#include <stdlib.h>
#include <string.h>

#include "manifest.h"
#include "teneral.h"

/* Packed: the section ends where the manifest ends. */
__attribute__((section(".teneral"), used)) static const struct __attribute__((packed)) {
  char magic[4];
  uint16_t format, flags;
  uint32_t length, crc;
  char json[sizeof MANIFEST - 1];
} manifest = {TN_MANIFEST_MAGIC, TN_MANIFEST_FORMAT, 0, sizeof MANIFEST - 1, MANIFEST_CRC, MANIFEST};

enum { SCHEMA = 2, STATE_BYTES = 16, TEXT_BYTES_MAX = 65536 };
enum { ECHO = 0, COUNT = 1, SIZE = 2 }; /* places in the manifest */

typedef struct { uint64_t echoes, bytes; } actor;

static const tn_u128 ARGS = F_ARGS, ECHOED = F_ECHOED, COUNTED = F_COUNTED, SIZED = F_SIZED;

static int same(tn_u128 a, tn_u128 b) { return a.hi == b.hi && a.lo == b.lo; }

static tn_status put(tn_writer *out, const void *bytes, size_t len) {
  uint8_t *room = out && out->reserve ? out->reserve(out, len) : NULL;
  if (!room) return TN_LIMIT;
  memcpy(room, bytes, len);
  out->commit(out, len);
  return TN_OK;
}

static tn_status fail(tn_writer *err, tn_status status, const char *text) {
  put(err, text, strlen(text));
  return status;
}

static uint64_t get64(const uint8_t *at) {
  uint64_t value = 0;
  for (int i = 7; i >= 0; i--) value = value << 8 | at[i];
  return value;
}

static void put64(uint8_t *at, uint64_t value) {
  for (int i = 0; i < 8; i++) at[i] = (uint8_t)(value >> 8 * i);
}

static tn_status give(const actor *from, void **self, tn_writer *err) {
  actor *a = malloc(sizeof *a);
  if (!a) return fail(err, TN_LIMIT, "no memory");
  *a = *from;
  *self = a;
  return TN_OK;
}

static tn_status create(tn_u128 shape, tn_bytes args, void **self, tn_writer *err) {
  if (!same(shape, ARGS) || args.len != 0) return fail(err, TN_DECODE, "c-echo starts from nothing");
  return give(&(actor){0}, self, err);
}

static tn_status restore(uint32_t schema, tn_bytes state, void **self, tn_writer *err) {
  if (schema != 1 && schema != SCHEMA) return fail(err, TN_SCHEMA, "c-echo 2.0.0 restores schemas 1 and 2");
  if (state.len != (schema == 1 ? 8 : STATE_BYTES)) return fail(err, TN_DECODE, "a state is 8 bytes (1) or 16 (2)");
  /* The migration: what was echoed before anybody counted bytes is not known. */
  uint64_t bytes = schema == 1 ? 0 : get64(state.ptr + 8);
  return give(&(actor){.echoes = get64(state.ptr), .bytes = bytes}, self, err);
}

static tn_status reply(const tn_call *call, tn_u128 shape, const uint8_t *body, size_t len) {
  if (call->call_id == 0) return TN_OK; /* nobody waits */
  return call->host->reply(call->turn, call->epoch, call->call_id, shape, (tn_bytes){body, len});
}

static tn_status echo(actor *a, const tn_call *call, tn_writer *err) {
  tn_bytes body = call->body;
  if (body.len < 8 || get64(body.ptr) != body.len - 8) return fail(err, TN_DECODE, "Echo holds one string");
  if (body.len > TEXT_BYTES_MAX) return fail(err, TN_FAILED, "that is too long to echo");
  uint8_t *echoed = malloc(body.len + 8);
  if (!echoed) return fail(err, TN_LIMIT, "no memory");
  memcpy(echoed, body.ptr, body.len);
  put64(echoed + body.len, a->echoes + 1);
  tn_status status = reply(call, ECHOED, echoed, body.len + 8);
  free(echoed);
  if (status != TN_OK) return fail(err, status, "the host takes no such reply");
  a->echoes += 1;
  a->bytes += body.len - 8;
  return TN_OK;
}

static tn_status reply_number(const tn_call *call, tn_u128 shape, uint64_t number, tn_writer *err) {
  uint8_t body[8];
  put64(body, number);
  tn_status status = reply(call, shape, body, sizeof body);
  return status == TN_OK ? TN_OK : fail(err, status, "the host takes no such reply");
}

static tn_status handle(void *self, const tn_call *call, tn_writer *err) {
  actor *a = self;
  switch (call->index) {
    case ECHO: return echo(a, call, err);
    case COUNT: return reply_number(call, COUNTED, a->echoes, err);
    case SIZE: return reply_number(call, SIZED, a->bytes, err);
    default: return fail(err, TN_UNKNOWN_MESSAGE, "c-echo knows Echo, Count and Size");
  }
}

static tn_status save(const void *self, tn_writer *out, tn_writer *err) {
  const actor *a = self;
  uint8_t state[STATE_BYTES];
  put64(state, a->echoes);
  put64(state + 8, a->bytes);
  return put(out, state, sizeof state) == TN_OK ? TN_OK : fail(err, TN_LIMIT, "no room for the state");
}

static void destroy(void *self) { free(self); }

static tn_status downgrade(tn_bytes state, uint32_t to_schema, tn_writer *out, tn_writer *err) {
  if (to_schema != 1) return fail(err, TN_SCHEMA, "c-echo 2.0.0 goes down to schema 1");
  if (state.len != STATE_BYTES) return fail(err, TN_DECODE, "a state of schema 2 is 16 bytes");
  return put(out, state.ptr, 8) == TN_OK ? TN_OK : fail(err, TN_LIMIT, "no room for the state");
}

static const tn_downgrade DOWNGRADE = {.size = sizeof(tn_downgrade), .downgrade = downgrade};

static const void *get_extension(const char *id) {
  return strcmp(id, TN_EXT_DOWNGRADE) == 0 ? &DOWNGRADE : NULL;
}

static const tn_class CLASS = {
    .size = sizeof(tn_class), .state_schema = SCHEMA, .kind = "c-echo",
    .create = create, .restore = restore, .handle = handle, .save = save, .destroy = destroy,
};
static const tn_class *const CLASSES[] = {&CLASS};
static const tn_plugin PLUGIN = {
    .size = sizeof(tn_plugin), .magic = TN_MAGIC, .abi_major = TN_ABI_MAJOR, .abi_minor = TN_ABI_MINOR,
    .class_count = 1, .classes = CLASSES, .get_extension = get_extension,
};

__attribute__((visibility("default"))) const tn_plugin *teneral_entry(void) { return &PLUGIN; }
