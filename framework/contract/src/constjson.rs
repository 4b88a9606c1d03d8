//! JSON written at compile time, into bytes that stand in a library's section.
//!
//! The manifest must be there without running any of the library's code, so it is a constant. A constant's length has
//! to be known before its bytes, so the same writer runs twice: over no room, where it only counts, and over just
//! enough.

use crate::shape::{Field, Fingerprint, Node, Variant};

/// A writer into `out`. It counts on past the end, so that [`Text::len`] is what the whole would take.
#[derive(Debug)]
pub struct Text<'a> {
    out: &'a mut [u8],
    len: usize,
}

impl<'a> Text<'a> {
    /// A writer that starts at the first byte of `out`.
    pub const fn new(out: &'a mut [u8]) -> Self {
        Self { out, len: 0 }
    }

    /// How many bytes were pushed, whether there was room for them or not.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.len
    }

    /// Whether nothing was pushed yet.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes as they are.
    pub const fn push_bytes(&mut self, bytes: &[u8]) {
        let end = self.len + bytes.len();
        if end <= self.out.len() {
            let (head, _) = self.out.split_at_mut(end);
            let (_, room) = head.split_at_mut(self.len);
            room.copy_from_slice(bytes);
        }
        self.len = end;
    }

    /// A text as it is.
    pub const fn push_str(&mut self, text: &str) {
        self.push_bytes(text.as_bytes());
    }

    /// A JSON string, quoted and escaped.
    pub const fn push_string(&mut self, text: &str) {
        self.push_str("\"");
        let bytes = text.as_bytes();
        if is_plain(bytes) {
            self.push_bytes(bytes);
        } else {
            let mut i = 0;
            while i < bytes.len() {
                self.push_escaped(bytes[i]);
                i += 1;
            }
        }
        self.push_str("\"");
    }

    const fn push_escaped(&mut self, byte: u8) {
        match byte {
            b'"' => self.push_str("\\\""),
            b'\\' => self.push_str("\\\\"),
            0..=0x1f => {
                self.push_str("\\u00");
                self.push_bytes(&[hex(byte >> 4), hex(byte & 15)]);
            }
            _ => self.push_bytes(&[byte]),
        }
    }

    /// A number in decimal.
    pub const fn push_u64(&mut self, mut number: u64) {
        let mut digits = [0; 20];
        let mut at = digits.len();
        loop {
            at -= 1;
            digits[at] = b'0' + (number % 10) as u8;
            number /= 10;
            if number == 0 {
                break;
            }
        }
        self.push_bytes(digits.split_at(at).1);
    }

    /// A fingerprint: a string of 32 hexadecimal digits.
    pub const fn push_fingerprint(&mut self, fingerprint: Fingerprint) {
        let mut digits = [b'"'; 34];
        let mut i = 0;
        while i < 32 {
            digits[32 - i] = hex((fingerprint.0 >> (4 * i)) as u8 & 15);
            i += 1;
        }
        self.push_bytes(&digits);
    }

    /// `true` or `false`.
    pub const fn push_truth(&mut self, truth: bool) {
        self.push_str(if truth { "true" } else { "false" });
    }

    /// A list of strings.
    pub const fn push_strings(&mut self, texts: &[&str]) {
        self.push_str("[");
        let mut i = 0;
        while i < texts.len() {
            self.next(i);
            self.push_string(texts[i]);
            i += 1;
        }
        self.push_str("]");
    }

    /// The comma between items of a list.
    pub const fn next(&mut self, at: usize) {
        if at > 0 {
            self.push_str(",");
        }
    }

    /// A shape: a leaf is its name, anything else an object whose one key says what it is. Fields and variants are
    /// lists of pairs, since their order counts.
    pub const fn push_node(&mut self, node: &Node) {
        match node {
            Node::Leaf(name) => self.push_string(name),
            Node::Option(inner) => self.push_parts("{\"option\":", &[inner], "}"),
            Node::Result(ok, err) => self.push_parts("{\"result\":[", &[ok, err], "]}"),
            Node::Seq(inner) => self.push_parts("{\"seq\":", &[inner], "}"),
            Node::Array(inner, len) => {
                self.push_parts("{\"array\":[", &[inner], ",");
                self.push_u64(*len as u64);
                self.push_str("]}");
            }
            Node::Map(key, value) => self.push_parts("{\"map\":[", &[key, value], "]}"),
            Node::Set(inner) => self.push_parts("{\"set\":", &[inner], "}"),
            Node::Tuple(items) => self.push_parts("{\"tuple\":[", items, "]}"),
            Node::Struct(fields) => self.push_fields(fields),
            Node::Enum(variants) => self.push_variants(variants),
            Node::Answer(inner) => self.push_parts("{\"answer\":", &[inner], "}"),
            Node::Recursive(levels) => {
                self.push_str("{\"recursive\":");
                self.push_u64(*levels as u64);
                self.push_str("}");
            }
        }
    }

    const fn push_parts(&mut self, open: &str, parts: &[&Node], close: &str) {
        self.push_str(open);
        let mut i = 0;
        while i < parts.len() {
            self.next(i);
            self.push_node(parts[i]);
            i += 1;
        }
        self.push_str(close);
    }

    const fn push_fields(&mut self, fields: &[Field]) {
        self.push_str("{\"struct\":[");
        let mut i = 0;
        while i < fields.len() {
            self.next(i);
            self.push_pair(fields[i].name, fields[i].node);
            i += 1;
        }
        self.push_str("]}");
    }

    const fn push_variants(&mut self, variants: &[Variant]) {
        self.push_str("{\"enum\":[");
        let mut i = 0;
        while i < variants.len() {
            self.next(i);
            self.push_pair(variants[i].name, variants[i].node);
            i += 1;
        }
        self.push_str("]}");
    }

    const fn push_pair(&mut self, name: &str, node: &Node) {
        self.push_str("[");
        self.push_string(name);
        self.push_str(",");
        self.push_node(node);
        self.push_str("]");
    }
}

const fn is_plain(bytes: &[u8]) -> bool {
    let mut i = 0;
    while i < bytes.len() {
        if bytes[i] < 0x20 || bytes[i] == b'"' || bytes[i] == b'\\' {
            return false;
        }
        i += 1;
    }
    true
}

const fn hex(nibble: u8) -> u8 {
    if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 }
}

const CRC32: [u32; 256] = {
    let mut table = [0; 256];
    let mut at = 0;
    while at < 256 {
        let mut crc = at as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 { 0xEDB8_8320 ^ (crc >> 1) } else { crc >> 1 };
            bit += 1;
        }
        table[at] = crc;
        at += 1;
    }
    table
};

/// CRC-32 (IEEE, as in zip and Ethernet): it finds a damaged section, not a forged one.
#[must_use]
pub const fn crc32(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    let mut i = 0;
    while i < bytes.len() {
        crc = CRC32[((crc ^ bytes[i] as u32) & 0xFF) as usize] ^ (crc >> 8);
        i += 1;
    }
    !crc
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(push: impl Fn(&mut Text<'_>)) -> String {
        let mut counter = Text::new(&mut []);
        push(&mut counter);
        let mut bytes = vec![0; counter.len()];
        push(&mut Text::new(&mut bytes));
        String::from_utf8(bytes).expect("UTF-8")
    }

    #[test]
    fn crc32_is_the_one_of_zip() {
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926);
        assert_eq!(crc32(b""), 0);
    }

    #[test]
    fn numbers_and_strings_are_json() {
        assert_eq!(written(|text| text.push_u64(0)), "0");
        assert_eq!(written(|text| text.push_u64(u64::MAX)), u64::MAX.to_string());
        for example in ["", "plain", "q\"b\\n\n\u{1f}ü"] {
            let json = written(|text| text.push_string(example));
            assert_eq!(serde_json::from_str::<String>(&json).expect("JSON"), example);
        }
        assert_eq!(written(|text| text.push_fingerprint(Fingerprint(0xab))), format!("\"{:032x}\"", 0xab));
    }
}
