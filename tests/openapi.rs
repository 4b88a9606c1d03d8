//! The control API's document: it has every path and none else, and a host's real answers are what it says.

use crate::harness::served::{Served, text};
use crate::harness::{Test, root, test};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::process::Command;

pub(crate) fn tests() -> Vec<Test> {
    vec![
        test(the_document_has_the_paths_of_the_router_and_of_the_table_and_none_else),
        test(the_document_in_the_repository_is_the_one_that_is_printed),
        test(real_answers_and_events_are_what_the_document_says),
        test(every_part_of_the_document_says_what_it_is),
    ]
}

fn document() -> Value {
    let output = Command::new(env!("CARGO_BIN_EXE_teneral")).arg("api").output().expect("the binary runs");
    assert!(output.status.success(), "{}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("the document is JSON")
}

/// Each operation, as `GET /v1/actors`.
fn operations(document: &Value) -> BTreeSet<String> {
    let paths = document["paths"].as_object().expect("paths");
    let each = paths.iter().flat_map(|(path, item)| {
        item.as_object().expect("operations").keys().map(move |method| format!("{} {path}", method.to_uppercase()))
    });
    each.collect()
}

/// The routes as the sources write them: `.route("/v1/actors", get(actors))`, or with a constant for the path.
fn routed() -> BTreeSet<String> {
    let sources = |folder: &str| -> String {
        let files = fs::read_dir(root().join(folder)).expect("it is there").map(|file| file.expect("it can be read"));
        files.map(|file| fs::read_to_string(file.path()).expect("a source")).collect()
    };
    let (served, api) = (sources("supervisor/system/src/served"), sources("supervisor/control/src/api"));
    let named = |name: &str| {
        let name = name.rsplit("::").next().unwrap_or(name);
        let (_, path) =
            [&served, &api].into_iter().find_map(|source| source.split_once(&format!("const {name}: &str = \"")))?;
        path.split('"').next()
    };
    let mut found = BTreeSet::new();
    for route in served.split(".route(").skip(1) {
        let (path, handler) = route.split_once(',').expect("a path and a handler");
        let path = path.trim();
        // `.route(..)` of something else than the router takes no path.
        if !path.starts_with('"') && !path.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_:".contains(&byte)) {
            continue;
        }
        let path = path.strip_prefix('"').and_then(|path| path.strip_suffix('"')).or_else(|| named(path));
        let method = handler.trim_start().split('(').next().expect("a method").to_uppercase();
        found.insert(format!("{method} {}", path.expect("a path, or a constant of one")));
    }
    found
}

fn the_document_has_the_paths_of_the_router_and_of_the_table_and_none_else() {
    let documented = operations(&document());
    assert_eq!(documented, routed());
    let table = fs::read_to_string(root().join("docs/control.md")).expect("it is there");
    let row = |line: &str| Some(line.strip_prefix("| ")?.split(" |").next()?.replace('`', ""));
    let listed: BTreeSet<String> =
        table.lines().filter_map(row).filter(|row| row.starts_with("GET /") || row.starts_with("POST /")).collect();
    assert_eq!(documented, listed);
}

fn the_document_in_the_repository_is_the_one_that_is_printed() {
    let kept = fs::read_to_string(root().join("docs/openapi.json")).expect("it is there");
    let kept: Value = serde_json::from_str(&kept).expect("JSON");
    assert!(kept == document(), "write it anew: cargo run -p teneral-cli -- api > docs/openapi.json");
    let served = Served::new(&[]);
    let answer = served.raw("GET /v1/openapi.json HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    let (_, body) = answer.split_once("\r\n\r\n").expect("a body");
    assert!(serde_json::from_str::<Value>(body).expect("JSON") == kept, "the host serves the same");
}

/// The document, and what it says of answers.
struct Says(Value);

impl Says {
    /// That this is what the operation answers.
    #[track_caller]
    fn answers(&self, operation: &str, status: &str, answer: &Value) {
        let (method, path) = operation.split_once(' ').expect("a method and a path");
        let schema = &self.0["paths"][path][method.to_lowercase()]["responses"][status]["content"]["application/json"];
        self.fits(&schema["schema"], answer, operation);
    }

    #[track_caller]
    fn fits(&self, schema: &Value, value: &Value, what: &str) {
        assert!(schema.is_object(), "{what} has a schema");
        // Unknown fields would be slips of the document, which JSON Schema lets pass where nothing forbids them.
        let mut whole = schema.clone();
        whole["components"] = self.0["components"].clone();
        whole["unevaluatedProperties"] = json!(false);
        let validator = jsonschema::draft202012::new(&whole).expect("a schema");
        let errors: Vec<String> =
            validator.iter_errors(value).map(|error| format!("{}: {error}", error.instance_path())).collect();
        assert!(errors.is_empty(), "{what}: {errors:#?}\n{value:#}");
    }
}

fn get(served: &Served, path: &str) -> Value {
    let answer = served.raw(&format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"));
    let (head, body) = answer.split_once("\r\n\r\n").expect("a body");
    assert!(head.starts_with("HTTP/1.1 200 "), "{answer}");
    serde_json::from_str(body).expect("JSON")
}

fn real_answers_and_events_are_what_the_document_says() {
    let says = Says(document());
    let served = Served::new(&[]);
    served.push(&["counter-v1", "counter-v2"]);
    let post = |operation: &str, arguments: &[&str]| says.answers(operation, "200", &served.json(arguments));
    post("POST /v1/kinds/set-default", &["kind", "set-default", "counter", "1.0.0"]);
    post("POST /v1/actors/start", &["actor", "start", "counter/a", r#"{"total": 5}"#]);
    post("POST /v1/actors/tell", &["actor", "tell", "counter/a", "Add", r#"{"amount": 3}"#]);
    post("POST /v1/actors/ask", &["actor", "ask", "counter/a", "Get"]);
    post("POST /v1/actors/pause", &["actor", "pause", "counter/a"]);
    served.says(&["actor", "tell", "counter/a", "Add", r#"{"amount": 3}"#]);
    post("POST /v1/actors/resume", &["actor", "resume", "counter/a"]);
    post("POST /v1/upgrades/plan", &["upgrade", "plan", "counter", "--to", "2.0.0"]);
    post("POST /v1/upgrades/run", &["upgrade", "apply", "counter", "--to", "2.0.0", "--max-pause", "60s"]);
    probations(&says, &served);
    served.says(&["key", "generate", "team", "--no-password"]);
    post("POST /v1/keys/trust", &["key", "trust", "team.pub"]);
    served.says(&["actor", "pause", "counter/a"]);
    served.says(&["actor", "tell", "counter/a", "Add", r#"{"amount": 3}"#]);
    post("POST /v1/actors/stop", &["actor", "stop", "counter/a"]);
    served.says(&["actor", "start", "counter/b", r#"{"total": 5}"#]);
    let looks = [
        "/v1/health",
        "/v1/artifacts",
        "/v1/keys",
        "/v1/kinds",
        "/v1/actors",
        "/v1/dead-letters",
        "/v1/audit",
        "/v1/upgrades",
    ];
    for path in looks {
        let answer = get(&served, path);
        assert!(answer.as_array().is_none_or(|list| !list.is_empty()), "{path} has something to show");
        let schema = &says.0["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]["schema"];
        match answer.as_array() {
            Some(list) => list.iter().for_each(|one| says.fits(&schema["items"], one, path)),
            None => says.fits(schema, &answer, path),
        }
    }
    says.answers("GET /v1/kinds/{kind}", "200", &get(&served, "/v1/kinds/counter"));
    says.answers("GET /v1/actors/{actor}", "200", &get(&served, "/v1/actors/counter%2Fb"));
    let id = served.json(&["upgrade", "status"])["id"].as_str().expect("an id").to_owned();
    says.answers("GET /v1/upgrades/{id}", "200", &get(&served, &format!("/v1/upgrades/{id}")));
    let answer = served.raw("GET /v1/actors/counter%2Fc HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    let (_, body) = answer.split_once("\r\n\r\n").expect("a body");
    let refused = serde_json::from_str(body).expect("JSON");
    says.answers("GET /v1/actors/{actor}", "default", &refused);
    let mut watching = served.command(&["actor", "watch", "--json", "--since", "0"]);
    let watching = watching.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::null()).spawn();
    let mut watching = watching.expect("the binary runs");
    let mut lines = BufReader::new(watching.stdout.take().expect("it is piped")).lines().map_while(Result::ok);
    let mut events: Vec<String> = lines.next().into_iter().collect();
    let (_desk, ended) = served.stop();
    assert!(ended.success(), "{ended}");
    events.extend(lines);
    watching.wait().expect("it ends");
    assert!(events.len() > 20, "{events:#?}");
    for event in &events {
        says.fits(
            &json!({ "$ref": "#/components/schemas/Event" }),
            &serde_json::from_str(event).expect("JSON"),
            event.as_str(),
        );
    }
}

/// What is said of versions on probation: `probe/a` is taken back, `probe/b` is final.
fn probations(says: &Says, served: &Served) {
    served.push(&["probe-v1", "probe-v2"]);
    for actor in ["probe/a", "probe/b"] {
        served.says(&["actor", "start", actor, r#"{"trap": {"step": "", "how": ""}}"#, "--version", "1.0.0"]);
    }
    let of_probe = ["upgrade", "apply", "probe", "--to", "2.0.0", "--max-pause", "60s", "--probation", "1h"];
    let report = served.json(&of_probe);
    says.answers("POST /v1/upgrades/run", "200", &report);
    let id = report["id"].as_str().expect("an id");
    let list = |path: &str, operation: &str| {
        let answer = get(served, path);
        assert!(answer.as_array().is_some_and(|list| !list.is_empty()), "{path} has something to show");
        says.answers(operation, "200", &answer);
    };
    list("/v1/probations", "GET /v1/probations");
    let looks = ["/v1/health", "/v1/kinds", "/v1/actors"];
    looks.into_iter().for_each(|path| says.answers(&format!("GET {path}"), "200", &get(served, path)));
    says.answers("GET /v1/kinds/{kind}", "200", &get(served, "/v1/kinds/probe"));
    says.answers("GET /v1/upgrades/{id}", "200", &get(served, &format!("/v1/upgrades/{id}")));
    let sign = r#"{"act": {"SignUnder": {"version": 1, "to": "probe/b"}}}"#;
    (0..2).for_each(|_| drop(served.says(&["actor", "tell", "probe/a", "Do", sign])));
    let back = served.json(&["upgrade", "rollback", id, "probe/a"]);
    says.answers("POST /v1/upgrades/{id}/rollback", "200", &back);
    list("/v1/held", "GET /v1/held");
    for (verb, operation) in [("send", "POST /v1/held/{number}/send"), ("drop", "POST /v1/held/{number}/drop")] {
        let number = get(served, "/v1/held")[0]["id"].to_string();
        says.answers(operation, "200", &served.json(&["upgrade", "held", verb, &number])[0]);
    }
    let final_ = served.json(&["upgrade", "finalise", id]);
    says.answers("POST /v1/upgrades/{id}/finalise", "200", &final_);
    list("/v1/upgrades", "GET /v1/upgrades");
    for upgrade in [id, back[0]["id"].as_str().expect("an id")] {
        says.answers("GET /v1/upgrades/{id}", "200", &get(served, &format!("/v1/upgrades/{upgrade}")));
    }
}

fn every_part_of_the_document_says_what_it_is() {
    let document = document();
    assert_eq!(document["openapi"], "3.1.0");
    for (path, item) in document["paths"].as_object().expect("paths") {
        for operation in item.as_object().expect("operations").values() {
            assert!(operation["summary"].as_str().is_some_and(|text| !text.is_empty()), "{path}");
            assert!(operation["responses"]["default"].is_object(), "{path} says how it is refused");
        }
    }
    for (name, schema) in document["components"]["schemas"].as_object().expect("schemas") {
        assert!(schema["description"].as_str().is_some_and(|text| !text.is_empty()), "{name}");
        // A plan is given back as it came; its parts are told apart by their own schemas.
        let fields = schema["properties"].as_object().filter(|_| name != "Plan");
        for (field, of) in fields.into_iter().flatten() {
            let says = of["description"].is_string() || of["oneOf"].is_array() || of["$ref"].is_string();
            assert!(says, "{name}.{field}");
        }
    }
}
