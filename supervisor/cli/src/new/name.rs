//! A kind that packages, libraries and types can be called after.
//!
//! An address takes more: a package cannot begin with a digit or hold a dot, a crate's name with two dashes in a row
//! is one that the compiler warns of, and a type must not take the name of one that the actor's code uses.

/// Longest, in bytes: a library's file, its package and its type hold it.
const NAME_BYTES_MAX: usize = 32;

/// What the actor's own code means something else by: the prelude of teneral and of Rust, and its messages.
const TAKEN: &str = "Actor ActorError Addr Answer AskError Cause Context Downcast Downgrade Message Migrate \
                     MigrateError ReplyHandle Request Result Shape State TimerId Upcast Why Wire Deserialize Serialize \
                     Start Greet Greeting Forget Self String Vec Option Some None Ok Err Box Into From Default Clone \
                     Copy Send Sync Drop Iterator Fn FnMut FnOnce Eq Ord PartialEq PartialOrd AsRef AsMut Debug";

/// The host's own actors.
const NATIVE: &str = "native";

/// Why not.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{typed:?} is no name for a kind: {why}")]
pub(super) struct NameError {
    typed: String,
    why: &'static str,
}

impl NameError {
    /// The nearest name that would do.
    pub(super) fn better(&self) -> String {
        let letters = self.typed.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' });
        let letters: String = letters.collect();
        let parts: Vec<&str> = letters.split('-').filter(|part| !part.is_empty()).collect();
        let joined: String = parts.join("-").trim_start_matches(|c: char| !c.is_ascii_lowercase()).to_owned();
        let short: String = joined.chars().take(NAME_BYTES_MAX).collect();
        match short.trim_end_matches('-') {
            "" => "hello".to_owned(),
            NATIVE => "my-native".to_owned(),
            name => name.to_owned(),
        }
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Name {
    kind: String,
    /// As part of a crate's name.
    ident: String,
    /// The state's type.
    camel: String,
}

impl Name {
    /// # Errors
    /// [`NameError`].
    pub(super) fn parse(typed: &str) -> Result<Self, NameError> {
        let refused = |why| Err(NameError { typed: typed.chars().take(80).collect(), why });
        if typed.is_empty() || typed.len() > NAME_BYTES_MAX {
            return refused("it has 1 to 32 characters");
        }
        if !typed.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_".contains(&b)) {
            return refused("it is made of a-z, 0-9, '-' and '_'");
        }
        if typed == NATIVE {
            return refused("it is the kind of the host's own actors");
        }
        if !typed.starts_with(|first: char| first.is_ascii_lowercase()) {
            return refused("it begins with a letter");
        }
        let parts: Vec<&str> = typed.split(['-', '_']).collect();
        if parts.iter().any(|part| part.is_empty()) {
            return refused("'-' and '_' stand between letters and digits");
        }
        let mut camel: String =
            parts.iter().map(|part| format!("{}{}", part[..1].to_uppercase(), &part[1..])).collect();
        if TAKEN.split_whitespace().any(|taken| taken == camel) {
            camel.push_str("Actor");
        }
        Ok(Self { kind: typed.to_owned(), ident: typed.replace('-', "_"), camel })
    }

    /// The kind, as it was typed.
    pub(super) fn kind(&self) -> &str {
        &self.kind
    }

    /// A text about `greeter` as one about this kind. What is put in is not looked at again.
    pub(super) fn fill(&self, text: &str) -> String {
        let plain = |text: &str| text.replace("greeter", &self.kind);
        let idents =
            |text: &str| text.split("greeter_").map(plain).collect::<Vec<_>>().join(&format!("{}_", self.ident));
        text.split("Greeter").map(idents).collect::<Vec<_>>().join(&self.camel)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_becomes_a_kind_a_crate_and_a_type() {
        let name = Name::parse("log-handler2").expect("a name");
        assert_eq!(name.fill("greeter/a greeter_v1::Greeter"), "log-handler2/a log_handler2_v1::LogHandler2");
        assert_eq!(Name::parse("greeter-greeter").expect("a name").fill("greeter_api"), "greeter_greeter_api");
        assert_eq!(Name::parse("start").expect("a name").fill("Greeter"), "StartActor");
    }

    #[test]
    fn what_no_package_or_type_can_be_called_after_is_refused_with_one_that_can() {
        let long = "a".repeat(33);
        let refused = [
            ("", "hello"),
            ("Hello World", "hello-world"),
            ("2fa", "fa"),
            ("a--b", "a-b"),
            ("a.b", "a-b"),
            ("é", "hello"),
        ];
        for (typed, better) in refused.into_iter().chain([("../x", "x"), ("-x", "x"), (&*long, &long[..32])]) {
            let error = Name::parse(typed).expect_err(typed);
            assert_eq!(error.better(), better, "{error}");
            assert!(Name::parse(&error.better()).is_ok(), "{error}");
        }
    }
}
