/* What c-echo says of itself; framework/testkit/tests/c_echo.rs holds it to what Rust callers mean.
   The checksum is zip's CRC-32: printf '%s' 'JSON' | gzip -c | tail -c8 | od -An -tx4 -N4 */
#define MANIFEST \
  "{\"format\":1,\"abi\":[1,0],\"target\":\"x86_64-unknown-linux-gnu\",\"panic\":\"none\",\"compiler\":\"gcc\"," \
  "\"kind\":\"c-echo\",\"version\":\"1.0.0\",\"state\":{\"schema\":1," \
  "\"fingerprint\":\"aad8b1e5a4756b3e2953669f6db76972\",\"shape\":{\"struct\":[[\"echoes\",\"u64\"]]}," \
  "\"from\":[],\"down\":[]},\"args\":{\"fingerprint\":\"0880955dd2ab1be95aa0733055c655b5\"," \
  "\"shape\":{\"struct\":[]},\"also\":[]},\"messages\":[{\"name\":\"Echo\"," \
  "\"fingerprint\":\"e34d2d29de0c7f7e882020345a83ff7a\",\"shape\":{\"struct\":[[\"text\",\"string\"]]}," \
  "\"also\":[],\"reply\":{\"fingerprint\":\"cd7278a42064aa01d12d1db23545e981\",\"shape\":{\"struct\":[[\"text\"," \
  "\"string\"],[\"echoes\",\"u64\"]]},\"also\":[]}},{\"name\":\"Count\"," \
  "\"fingerprint\":\"0880955dd2ab1be95aa0733055c655b5\",\"shape\":{\"struct\":[]},\"also\":[]," \
  "\"reply\":{\"fingerprint\":\"aad8b1e5a4756b3e2953669f6db76972\",\"shape\":{\"struct\":[[\"echoes\",\"u64\"]]}," \
  "\"also\":[]}}],\"requires\":[],\"capabilities\":[],\"deterministic\":true,\"blocking\":false}"
#define MANIFEST_CRC 0xf003985fu
#define F_ARGS {0x0880955dd2ab1be9u, 0x5aa0733055c655b5u}
#define F_ECHOED {0xcd7278a42064aa01u, 0xd12d1db23545e981u}
#define F_COUNTED {0xaad8b1e5a4756b3eu, 0x2953669f6db76972u}
