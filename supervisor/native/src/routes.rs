//! Which request from outside is which message to which actor.
//!
//! Pure: a table of routes that is refused when two of them mean the same request, and a look-up in it. Who listens and
//! who asks is the system's.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;
use teneral_contract::addr::is_kind;

/// What a route may answer to.
const METHODS: [&str; 5] = ["GET", "POST", "PUT", "PATCH", "DELETE"];

/// One route: a method and a path, and what they ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// `GET`, `POST` and so on.
    pub method: String,
    /// `/carts/{customer}/items`: a part in braces is anything, and has a name.
    pub path: Pattern,
    /// The actor's kind.
    pub kind: String,
    /// The actor's key.
    pub key: Key,
    /// The message's name.
    pub message: String,
    /// How long the answer may take.
    pub timeout: Duration,
    /// What happens when there is no such actor.
    pub start: StartPolicy,
    /// Where it was written, for people; empty if nowhere.
    pub written_at: String,
}

/// What happens when nobody has the name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StartPolicy {
    /// The request is answered with 404.
    Never,
    /// The actor is defined and started, in its kind's default version, with these arguments as JSON.
    OnFirstUse {
        /// The arguments.
        args: String,
    },
}

/// A path with names for its parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Literal(String),
    Named(String),
}

/// Where an actor's key comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Key {
    /// A text with names of the path's parts in braces, or without any.
    Text(Vec<Piece>),
    /// A header of the request.
    Header(String),
}

/// A piece of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// As it is.
    Literal(String),
    /// What stands in the path at that name.
    Named(String),
}

/// Why a route is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RouteError {
    /// A method that is none.
    #[error("{0:?} is no method: one of GET, POST, PUT, PATCH, DELETE")]
    Method(String),
    /// A path that is none.
    #[error("{0:?} is no path: write /carts/{{customer}}, where a name in braces is a whole part")]
    Path(String),
    /// A name that a path has twice.
    #[error("the path has {{{0}}} twice")]
    NameTwice(String),
    /// A kind that is none.
    #[error("{0:?} is no kind: 1 to 64 of a-z, 0-9, '.', '_', '-'")]
    Kind(String),
    /// The host's own actors are not for outside.
    #[error("the host's own actors have no routes: write one to an actor that asks them")]
    Native,
    /// A key that is none.
    #[error("{0:?} is no key: write a text, {{name}} for a part of the path, or header:x-name")]
    Key(String),
    /// A key that names what the path does not have.
    #[error("the key names {{{0}}}, which the path does not have")]
    NoSuchPart(String),
    /// A message that is none.
    #[error("a route needs the name of a message")]
    Message,
    /// Two routes mean the same request.
    #[error("{method} {path} is written twice{first}: no request could tell which is meant")]
    Twice {
        /// The method.
        method: String,
        /// The path.
        path: String,
        /// Where the first one is written.
        first: String,
    },
}

impl Pattern {
    /// Reads a path.
    ///
    /// # Errors
    /// [`RouteError::Path`], [`RouteError::NameTwice`].
    pub fn parse(text: &str) -> Result<Self, RouteError> {
        let none = || RouteError::Path(text.to_owned());
        let rest = text.strip_prefix('/').ok_or_else(none)?;
        if text.contains(['?', '#', '%']) || text.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return Err(none());
        }
        let mut parts = Vec::new();
        for part in rest.split('/').filter(|_| !rest.is_empty()) {
            let named = part.strip_prefix('{').and_then(|part| part.strip_suffix('}'));
            match named {
                Some(name) if is_name(name) => {
                    if parts.contains(&Part::Named(name.to_owned())) {
                        return Err(RouteError::NameTwice(name.to_owned()));
                    }
                    parts.push(Part::Named(name.to_owned()));
                }
                None if !part.contains(['{', '}']) => parts.push(Part::Literal(part.to_owned())),
                _ => return Err(none()),
            }
        }
        Ok(Self(parts))
    }

    /// What stands at its names, when a path fits. `parts` are the path's, decoded.
    fn fit(&self, parts: &[String]) -> Option<BTreeMap<String, String>> {
        let mut found = BTreeMap::new();
        if parts.len() != self.0.len() {
            return None;
        }
        for (part, text) in self.0.iter().zip(parts) {
            match part {
                Part::Literal(literal) if literal == text => {}
                Part::Named(name) if !text.is_empty() => drop(found.insert(name.clone(), text.clone())),
                _ => return None,
            }
        }
        Some(found)
    }

    /// The same for all paths that mean the same, whatever they call their parts.
    fn form(&self) -> Vec<Option<&str>> {
        let parts = self.0.iter().map(|part| match part {
            Part::Literal(text) => Some(text.as_str()),
            Part::Named(_) => None,
        });
        parts.collect()
    }

    fn has(&self, name: &str) -> bool {
        self.0.iter().any(|part| matches!(part, Part::Named(known) if known == name))
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("/");
        }
        self.0.iter().try_for_each(|part| match part {
            Part::Literal(text) => write!(f, "/{text}"),
            Part::Named(name) => write!(f, "/{{{name}}}"),
        })
    }
}

impl Key {
    /// Reads a key.
    ///
    /// # Errors
    /// [`RouteError::Key`].
    pub fn parse(text: &str) -> Result<Self, RouteError> {
        let none = || RouteError::Key(text.to_owned());
        if let Some(header) = text.strip_prefix("header:") {
            let well = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
            return match !header.is_empty() && header.bytes().all(well) {
                true => Ok(Self::Header(header.to_ascii_lowercase())),
                false => Err(none()),
            };
        }
        let (mut pieces, mut rest) = (Vec::new(), text);
        while let Some((before, after)) = rest.split_once('{') {
            let (name, behind) = after.split_once('}').filter(|(name, _)| is_name(name)).ok_or_else(none)?;
            if !before.is_empty() {
                pieces.push(Piece::Literal(before.to_owned()));
            }
            pieces.push(Piece::Named(name.to_owned()));
            rest = behind;
        }
        if !rest.is_empty() {
            pieces.push(Piece::Literal(rest.to_owned()));
        }
        match pieces.is_empty() || rest.contains('}') {
            true => Err(none()),
            false => Ok(Self::Text(pieces)),
        }
    }

    /// The key of a request; `None` when the header is not there.
    #[must_use]
    pub fn of(&self, named: &BTreeMap<String, String>, header: impl FnOnce(&str) -> Option<String>) -> Option<String> {
        match self {
            Self::Header(name) => header(name),
            Self::Text(pieces) => Some(
                pieces
                    .iter()
                    .map(|piece| match piece {
                        Piece::Literal(text) => text.as_str(),
                        Piece::Named(name) => named.get(name).map_or("", String::as_str),
                    })
                    .collect(),
            ),
        }
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

impl Route {
    fn check(&self) -> Result<(), RouteError> {
        if !METHODS.contains(&self.method.as_str()) {
            return Err(RouteError::Method(self.method.clone()));
        }
        if !is_kind(&self.kind) {
            return Err(RouteError::Kind(self.kind.clone()));
        }
        if self.kind == teneral_native_api::KIND {
            return Err(RouteError::Native);
        }
        if self.message.is_empty() {
            return Err(RouteError::Message);
        }
        let Key::Text(pieces) = &self.key else { return Ok(()) };
        let missing = pieces.iter().find_map(|piece| match piece {
            Piece::Named(name) if !self.path.has(name) => Some(name.clone()),
            _ => None,
        });
        missing.map_or(Ok(()), |name| Err(RouteError::NoSuchPart(name)))
    }
}

/// All routes, which contradict each other nowhere.
#[derive(Debug, Clone, Default)]
pub struct Routes {
    routes: Vec<Route>,
}

/// What a request is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found<'a> {
    /// This, with what stands at the names of its path.
    Route(&'a Route, BTreeMap<String, String>),
    /// The path is known, with these methods.
    Methods(Vec<&'a str>),
    /// Nothing.
    Nothing,
}

impl Routes {
    /// No routes.
    #[must_use]
    pub const fn none() -> Self {
        Self { routes: Vec::new() }
    }

    /// And this one.
    ///
    /// # Errors
    /// [`RouteError`]; [`RouteError::Twice`] when another one means the same request.
    pub fn add(&mut self, route: Route) -> Result<(), RouteError> {
        route.check()?;
        let same = |known: &&Route| known.method == route.method && known.path.form() == route.path.form();
        if let Some(known) = self.routes.iter().find(same) {
            let first = match known.written_at.as_str() {
                "" => String::new(),
                at => format!(", first at {at}"),
            };
            let (method, path) = (route.method.clone(), route.path.to_string());
            return Err(RouteError::Twice { method, path, first });
        }
        self.routes.push(route);
        // What is written out comes before what is named, from the left: /a/{x} before /{y}/b.
        let rank = |route: &Route| -> Vec<bool> { route.path.form().iter().map(Option::is_none).collect() };
        self.routes.sort_by_key(rank);
        Ok(())
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &Route> {
        self.routes.iter()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.routes.is_empty()
    }

    /// What a request means; `parts` are those of its path, decoded.
    #[must_use]
    pub fn find(&self, method: &str, parts: &[String]) -> Found<'_> {
        let mut methods = Vec::new();
        for route in &self.routes {
            let Some(named) = route.path.fit(parts) else { continue };
            if route.method == method {
                return Found::Route(route, named);
            }
            methods.push(route.method.as_str());
        }
        if methods.is_empty() { Found::Nothing } else { Found::Methods(methods) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(method: &str, path: &str, key: &str) -> Result<Route, RouteError> {
        Ok(Route {
            method: method.to_owned(),
            path: Pattern::parse(path)?,
            kind: "cart".to_owned(),
            key: Key::parse(key)?,
            message: "Get".to_owned(),
            timeout: Duration::from_secs(1),
            start: StartPolicy::Never,
            written_at: String::new(),
        })
    }

    fn parts(path: &str) -> Vec<String> {
        path.split('/').skip(1).map(str::to_owned).collect()
    }

    #[test]
    fn what_is_written_out_is_found_before_what_is_named() -> Result<(), RouteError> {
        let mut routes = Routes::none();
        for path in ["/{a}/{b}", "/carts/{customer}", "/carts/all", "/{kind}/all"] {
            routes.add(route("GET", path, "x")?)?;
        }
        let found = |path: &str| match routes.find("GET", &parts(path)) {
            Found::Route(route, named) => (route.path.to_string(), named),
            other => panic!("{path}: {other:?}"),
        };
        assert_eq!(found("/carts/all").0, "/carts/all");
        let named = BTreeMap::from([("customer".to_owned(), "ann".to_owned())]);
        assert_eq!(found("/carts/ann"), ("/carts/{customer}".to_owned(), named));
        assert_eq!(found("/other/all").0, "/{kind}/all");
        assert_eq!(found("/other/one").0, "/{a}/{b}");
        assert_eq!(routes.find("POST", &parts("/carts/all")), Found::Methods(vec!["GET"; 4]));
        assert_eq!(routes.find("GET", &parts("/carts")), Found::Nothing);
        assert_eq!(routes.find("GET", &parts("/carts/")), Found::Nothing);
        Ok(())
    }

    #[test]
    fn routes_that_mean_the_same_request_are_refused() -> Result<(), RouteError> {
        let mut routes = Routes::none();
        routes.add(Route { written_at: "teneral.toml:3".to_owned(), ..route("GET", "/carts/{a}", "{a}")? })?;
        let error = routes.add(route("GET", "/carts/{b}", "{b}")?).expect_err("the same request");
        assert!(error.to_string().contains("/carts/{b} is written twice, first at teneral.toml:3"), "{error}");
        routes.add(route("POST", "/carts/{b}", "{b}")?)
    }

    #[test]
    fn a_route_that_is_none_says_why() {
        let refused = |method, path, key| route(method, path, key).and_then(|route| Routes::none().add(route));
        for method in ["get", "GTE", "", "CONNECT"] {
            assert_eq!(refused(method, "/", "a"), Err(RouteError::Method(method.to_owned())));
        }
        for path in ["", "carts", "/a{b}", "/{}", "/{a", "/a?b", "/a b", "/%41"] {
            assert_eq!(refused("GET", path, "a"), Err(RouteError::Path(path.to_owned())));
        }
        assert_eq!(refused("GET", "/{a}/{a}", "a"), Err(RouteError::NameTwice("a".to_owned())));
        for key in ["", "{", "a}", "{a b}", "header:", "header:a b"] {
            assert_eq!(refused("GET", "/", key), Err(RouteError::Key(key.to_owned())));
        }
        assert_eq!(refused("GET", "/{a}", "{b}"), Err(RouteError::NoSuchPart("b".to_owned())));
        assert_eq!(refused("GET", "/", "header:X-Customer"), Ok(()));
    }

    #[test]
    fn a_key_is_put_together_from_the_path() -> Result<(), RouteError> {
        let named = BTreeMap::from([("a".to_owned(), "ann".to_owned()), ("b".to_owned(), "7".to_owned())]);
        let of = |key: &str| Ok::<_, RouteError>(Key::parse(key)?.of(&named, |name| Some(format!("<{name}>"))));
        assert_eq!(of("{a}-{b}")?.as_deref(), Some("ann-7"));
        assert_eq!(of("all")?.as_deref(), Some("all"));
        assert_eq!(of("header:X-Who")?.as_deref(), Some("<x-who>"));
        Ok(())
    }
}
