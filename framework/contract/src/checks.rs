//! What a shape must not be, seen at compile time.
//!
//! A codec has corners where two values have the same bytes, or a value has none. A shape that gets there is refused
//! when the author builds, not when an operator upgrades. Derived code asserts these, so that the message stands at the
//! author's type.

use crate::shape::Node;

/// The parts of a node, in order.
const fn part(node: &Node, at: usize) -> Option<&Node> {
    match (node, at) {
        (Node::Option(part) | Node::Seq(part) | Node::Array(part, _) | Node::Set(part) | Node::Answer(part), 0)
        | (Node::Result(part, _) | Node::Map(part, _), 0)
        | (Node::Result(_, part) | Node::Map(_, part), 1) => Some(part),
        (Node::Tuple(parts), _) if at < parts.len() => Some(parts[at]),
        (Node::Struct(fields), _) if at < fields.len() => Some(fields[at].node),
        (Node::Enum(variants), _) if at < variants.len() => Some(variants[at].node),
        _ => None,
    }
}

macro_rules! somewhere {
    ($(#[$doc:meta])* $name:ident, $here:ident) => {
        $(#[$doc])*
        #[must_use]
        pub const fn $name(node: &Node) -> bool {
            let mut found = $here(node);
            let mut at = 0;
            while let (false, Some(part)) = (found, part(node, at)) {
                found = $name(part);
                at += 1;
            }
            found
        }
    };
}

somewhere! {
    /// Whether a value of this shape can hold another of it.
    is_recursive, leads_back
}

somewhere! {
    /// Whether there is an answer in it, which lives for one turn and cannot be kept in a state.
    holds_answer, is_answer
}

somewhere! {
    /// Whether two values of this shape have the same MessagePack: it writes `Some(None)` and `Some(())` as it writes
    /// `None`.
    confuses_none, is_confused
}

somewhere! {
    /// Whether there is a collection of items that take no bytes in a message, so that nothing would bound its length.
    is_unbounded, is_list_of_nothing
}

const fn leads_back(node: &Node) -> bool {
    matches!(node, Node::Recursive(_))
}

const fn is_answer(node: &Node) -> bool {
    matches!(node, Node::Answer(_))
}

const fn is_confused(node: &Node) -> bool {
    match node {
        Node::Option(inner) => is_nil(inner),
        // A tuple struct that is only an optional self.
        Node::Tuple([Node::Option(Node::Recursive(2))]) => true,
        _ => false,
    }
}

/// Whether a value of this shape may be written as MessagePack's nil. A tuple struct of one field is written as it.
const fn is_nil(node: &Node) -> bool {
    match node {
        Node::Option(_) => true,
        Node::Tuple([only]) => is_nil(only),
        _ => is_unit(node),
    }
}

const fn is_unit(node: &Node) -> bool {
    matches!(node, Node::Leaf(name) if matches!(name.as_bytes(), b"unit"))
}

const fn is_list_of_nothing(node: &Node) -> bool {
    match node {
        Node::Seq(item) | Node::Set(item) => is_weightless(item),
        Node::Map(key, value) => is_weightless(key) && is_weightless(value),
        _ => false,
    }
}

/// Whether a value of this shape takes no bytes in a message.
const fn is_weightless(node: &Node) -> bool {
    match node {
        Node::Array(_, 0) | Node::Answer(_) => true,
        Node::Array(_, _) | Node::Tuple(_) | Node::Struct(_) => {
            let mut at = 0;
            while let Some(part) = part(node, at) {
                if !is_weightless(part) {
                    return false;
                }
                at += 1;
            }
            true
        }
        _ => is_unit(node),
    }
}
