//! The control API as an OpenAPI 3.1 document: a row a path, and the schemas of the very types that are sent.
//!
//! A table and not an attribute at each handler, so that the whole of the API can be read in one place; that it has
//! every path of the router and none else is tested, and so is that real answers are what it says.

use super::metrics::CONTENT_TYPE;
use super::routes::Json;
use axum::Router;
use axum::routing::get;
use teneral_control::api::rate::{REQUESTS_BURST, REQUESTS_PER_S};
use teneral_control::api::{ApiError, BODY_BYTES_MAX, CONNECTIONS_MAX, WATCHERS_MAX, event, wire};
use teneral_store::Release;
use teneral_upgrade::{OnProbation, Plan, Report};
use utoipa::OpenApi as _;
use utoipa::ToSchema;
use utoipa::openapi::path::{HttpMethod, OperationBuilder, ParameterBuilder, ParameterIn, PathItem};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::schema::{ArrayBuilder, ObjectBuilder, Type};
use utoipa::openapi::{ContentBuilder, InfoBuilder, OpenApi, Ref, RefOr, Required, ResponseBuilder, Schema};

use Body::{Json as Of, Library, Nothing};
use Said::{Anything, Events, Many, Metrics, One};

/// What a request carries.
enum Body {
    Nothing,
    /// JSON of this schema.
    Json(&'static str),
    /// A library's bytes.
    Library,
}

/// What a good answer carries.
enum Said {
    One(&'static str),
    Many(&'static str),
    /// JSON that the actor's own code wrote.
    Anything,
    Events,
    /// Text for Prometheus.
    Metrics,
}

/// One path of the API: method, path, what it is for, its query, what it takes and what it answers.
type Row = (HttpMethod, &'static str, &'static str, &'static [(&'static str, &'static str)], Body, Said);

const GET: HttpMethod = HttpMethod::Get;
const POST: HttpMethod = HttpMethod::Post;

/// Of the pages that go back in time.
const LIMIT: (&str, &str) = ("limit", "How many at most; 50 when it is left out.");

fn rows() -> Vec<Row> {
    vec![
        (GET, "/v1/health", "What the host is, and whether it serves. Always answered.", &[], Nothing, One("Health")),
        (GET, "/v1/openapi.json", "This document.", &[], Nothing, Anything),
        (GET, "/v1/config", "What the host goes by, and who said so.", &[], Nothing, Many("ConfigRow")),
        (GET, "/v1/artifacts", "What the store holds, by kind and version.", &[], Nothing, Many("ArtifactView")),
        (GET, "/v1/artifacts/{sha256}", "What one says of itself.", &[], Nothing, One("ArtifactDetail")),
        (POST, "/v1/artifacts/push", "Brings a library through the gate into the store.", &[], Library, One("Release")),
        (POST, "/v1/artifacts/remove", "Takes an artifact away.", &[], Of("RemoveArtifact"), One("Release")),
        (POST, "/v1/artifacts/pardon", "Ends a quarantine.", &[], Of("RemoveArtifact"), One("Pardoned")),
        (GET, "/v1/marks", "The high-water marks, and whether they are whole.", &[], Nothing, One("MarksView")),
        (POST, "/v1/marks/accept", "Takes what is left of them.", &[], Of("AcceptMarks"), One("MarksView")),
        (GET, "/v1/keys", "The keys whose signatures are accepted.", &[], Nothing, Many("KeyView")),
        (POST, "/v1/keys/trust", "Accepts a key's signatures.", &[], Of("Trust"), One("KeyView")),
        (
            POST,
            "/v1/keys/{id}/distrust",
            "Accepts them no longer; an id may be cut short.",
            &[],
            Nothing,
            One("Distrusted"),
        ),
        (GET, "/v1/kinds", "The kinds: default, versions, what runs.", &[], Nothing, Many("KindView")),
        (GET, "/v1/kinds/{kind}", "All that there is of a kind.", &[], Nothing, One("KindDetail")),
        (GET, "/v1/kinds/{kind}/{version}", "What a version says of itself.", &[], Nothing, One("ArtifactDetail")),
        (POST, "/v1/kinds/set-default", "Names what new actors get.", &[], Of("SetDefault"), One("SetDefault")),
        (GET, "/v1/actors", "All actors, also those that are down.", &[], Nothing, Many("ActorView")),
        (GET, "/v1/actors/{actor}", "One of them.", &[], Nothing, One("ActorView")),
        (GET, "/v1/actors/{actor}/state", "Its state, as its own code writes it.", &[], Nothing, Anything),
        (POST, "/v1/actors/start", "Starts an actor, which comes back.", &[], Of("Start"), One("ActorView")),
        (POST, "/v1/actors/check", "Whether it could be started so.", &[], Of("Start"), One("Checked")),
        (POST, "/v1/actors/stop", "Stops and forgets an actor.", &[], Of("Stop"), One("HasStopped")),
        (
            POST,
            "/v1/actors/restart",
            "Begins an actor again, with its state or without.",
            &[],
            Of("Restart"),
            One("ActorView"),
        ),
        (POST, "/v1/actors/pause", "Holds an actor.", &[], Of("Pause"), One("ActorView")),
        (POST, "/v1/actors/resume", "Lets it go on.", &[], Of("Named"), One("ActorView")),
        (POST, "/v1/actors/tell", "Sends an actor a message.", &[], Of("Say"), One("Told")),
        (POST, "/v1/actors/ask", "Sends a request, and answers with its reply.", &[], Of("Say"), One("Answered")),
        (GET, "/v1/dead-letters", "What went nowhere, oldest first.", &[], Nothing, Many("DeadLetterView")),
        (POST, "/v1/dead-letters/resend", "Sends dead letters again.", &[], Of("Letters"), One("Resent")),
        (POST, "/v1/dead-letters/drop", "Gives dead letters up.", &[], Of("Letters"), One("Resent")),
        (GET, "/v1/modules", "What runs in processes of its own.", &[], Nothing, Many("ModuleView")),
        (
            GET,
            "/v1/modules/{kind}/{version}/output",
            "Part of what a version's processes wrote.",
            &OUTPUT,
            Nothing,
            One("ModuleOutput"),
        ),
        (GET, "/v1/audit", "Who had the host do what, newest first.", &AUDIT, Nothing, Many("AuditView")),
        (GET, "/metrics", "What Prometheus reads: docs/metrics.md.", &[], Nothing, Metrics),
        (GET, "/v1/events", "What happens, until the host stops.", &EVENTS, Nothing, Events),
    ]
}

/// The same of upgrades, and of what comes after them.
fn rows_of_upgrades() -> Vec<Row> {
    vec![
        (GET, "/v1/upgrades", "The latest upgrades, newest first.", &UPGRADES, Nothing, Many("UpgradeSummary")),
        (GET, "/v1/upgrades/{id}", "One of them, with its journal.", &[], Nothing, One("UpgradeView")),
        (POST, "/v1/upgrades/{id}/cancel", "Cancels one that is at work.", &[], Nothing, One("Cancelled")),
        (POST, "/v1/upgrades/{id}/finalise", "Ends its probation well.", &[], Of("Finalise"), One("Finalised")),
        (POST, "/v1/upgrades/{id}/rollback", "Takes it back.", &[], Of("RollBack"), Many("Report")),
        (GET, "/v1/probations", "Who is on probation after an upgrade.", &[], Nothing, Many("OnProbation")),
        (GET, "/v1/held", "Effects that wait for somebody's word.", &[], Nothing, Many("HeldView")),
        (POST, "/v1/held/{number}/send", "Sends one, as from its actor.", &[], Nothing, One("HeldView")),
        (POST, "/v1/held/{number}/drop", "Gives one up.", &[], Nothing, One("HeldView")),
        (GET, "/v1/requests/{request}", "What was asked for under that name.", &[], Nothing, One("UpgradeView")),
        (
            POST,
            "/v1/upgrades/plan",
            "What it would do, rehearsed on copies; nobody is paused.",
            &[],
            Of("Upgrade"),
            One("Plan"),
        ),
        (
            GET,
            "/v1/routes/{kind}",
            "Who of a kind gets which version, and how both do.",
            &[],
            Nothing,
            One("RouteView"),
        ),
        (GET, "/v1/routes/{kind}/history", "What was done to it.", &[], Nothing, One("RouteHistory")),
        (GET, "/v1/actors/{actor}/route", "What an actor gets, and why.", &[], Nothing, One("RouteExplained")),
        (POST, "/v1/routes/set", "Sets it, and moves its actors.", &[], Of("SetRoute"), One("Rerouted")),
        (POST, "/v1/routes/promote", "The canary gets everything.", &[], Of("EndRoute"), One("Rerouted")),
        (POST, "/v1/routes/abort", "The stable version gets it back.", &[], Of("EndRoute"), One("Rerouted")),
        (POST, "/v1/upgrades/run", "Plans and applies.", &[], Of("Upgrade"), One("Report")),
        (POST, "/v1/upgrades/apply", "Applies a plan as it is.", &[], Of("Apply"), One("Report")),
    ]
}

const UPGRADES: [(&str, &str); 2] = [("before", "Only upgrades before the one of this id."), LIMIT];
const AUDIT: [(&str, &str); 3] = [
    ("before", "Only entries before this number."),
    LIMIT,
    ("messages", "`true`: what actors were told and asked, instead of what changed the host."),
];
const OUTPUT: [(&str, &str); 3] = [
    ("file", "Of the process whose output an answer gave that name; of the latest when it is left out."),
    ("previous", "`true`: of the process before the latest."),
    ("from", "From this byte on; from the first when it is left out."),
];
const EVENTS: [(&str, &str); 3] = [
    ("actor", "Only what is about this actor, and the host's own words."),
    ("kind", "Only what is about this kind and its actors, and the host's own words."),
    ("since", "Everything after the event of this id; the header `Last-Event-ID` wins."),
];

/// The schemas. What they are made of is found from them.
#[derive(utoipa::OpenApi)]
#[openapi(components(schemas(
    ApiError,
    Answered,
    Cancelled,
    OnProbation,
    Plan,
    Release,
    Report,
    Told,
    event::Event,
    event::Gap,
    wire::AcceptMarks,
    wire::ActorView,
    wire::Checkpoint,
    wire::Apply,
    wire::ArtifactDetail,
    wire::ArtifactView,
    wire::AuditView,
    wire::Checked,
    wire::ConfigRow,
    wire::DeadLetterView,
    wire::Distrusted,
    wire::Down,
    wire::EndRoute,
    wire::Finalise,
    wire::FailedProbation,
    wire::Finalised,
    wire::HasStopped,
    wire::Health,
    wire::HeldView,
    wire::KeyView,
    wire::KindDetail,
    wire::KindView,
    wire::Letters,
    wire::MarksView,
    wire::ModuleOutput,
    wire::ModuleView,
    wire::Named,
    wire::Pardoned,
    wire::Pause,
    wire::RemoveArtifact,
    wire::Rerouted,
    wire::Resent,
    wire::Restart,
    wire::RollBack,
    wire::RouteExplained,
    wire::RouteHistory,
    wire::RouteView,
    wire::Say,
    wire::SetDefault,
    wire::SetRoute,
    wire::SignedArtifact,
    wire::Start,
    wire::Stop,
    wire::Trust,
    wire::Upgrade,
    wire::UpgradeSummary,
    wire::UpgradeView
)))]
struct Schemas;

/// A message that waits for its turn.
#[derive(ToSchema)]
#[expect(dead_code, reason = "its shape alone is used: the handler writes it")]
struct Told {
    /// To whom.
    actor: String,
    /// Always true.
    accepted: bool,
}

/// An actor's answer.
#[derive(ToSchema)]
#[expect(dead_code, reason = "its shape alone is used: the handler writes it")]
struct Answered {
    /// Whose.
    actor: String,
    /// As its own code writes it.
    #[schema(value_type = Value)]
    reply: (),
}

/// An upgrade that somebody wanted to end.
#[derive(ToSchema)]
#[expect(dead_code, reason = "its shape alone is used: the handler writes it")]
struct Cancelled {
    /// Which.
    id: String,
    /// False when it was not at work any more.
    cancelled: bool,
}

pub(super) fn routes() -> Router<crate::System> {
    Router::new().route("/v1/openapi.json", get(async || Json(document())))
}

/// The control API of this version of teneral, as an OpenAPI document.
#[must_use]
pub fn document() -> OpenApi {
    let mut document = Schemas::openapi();
    let about = format!(
        "What an operator may ask of a host that serves, over `control.sock` in its directory: HTTP/1.1 and JSON, \
         for the host's own user and root. Bounds: {CONNECTIONS_MAX} connections, at most {WATCHERS_MAX} of them \
         watching; {REQUESTS_PER_S} requests a second of one user, and {REQUESTS_BURST} at once; a head of 64 KiB \
         within 10 s; a body of {BODY_BYTES_MAX} bytes, a library of 256 MiB, within 60 s. A field that is not known \
         is an error. What changes something may say why in the header `teneral-reason`, percent-encoded."
    );
    document.info = InfoBuilder::new()
        .title("teneral control API")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(about))
        .build();
    for row in rows().into_iter().chain(rows_of_upgrades()) {
        let (method, path) = (row.0.clone(), row.1);
        let item = PathItem::new(method, operation(row));
        match document.paths.paths.get_mut(path) {
            Some(found) => found.merge_operations(item),
            None => drop(document.paths.paths.insert(path.to_owned(), item)),
        }
    }
    document
}

fn operation((_, path, summary, query, body, said): Row) -> OperationBuilder {
    let text = || ObjectBuilder::new().schema_type(Type::String);
    let mut operation = OperationBuilder::new().summary(Some(summary));
    for name in path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}')) {
        let about = Some("Percent-encoded.");
        let parameter = ParameterBuilder::new().name(name).parameter_in(ParameterIn::Path).required(Required::True);
        operation = operation.parameter(parameter.description(about).schema(Some(text())));
    }
    for (name, about) in query {
        let parameter = ParameterBuilder::new().name(*name).parameter_in(ParameterIn::Query).required(Required::False);
        operation = operation.parameter(parameter.description(Some(*about)).schema(Some(text())));
    }
    operation = match body {
        Nothing => operation,
        Of(name) => operation.request_body(Some(
            RequestBodyBuilder::new()
                .content("application/json", content(named(name)))
                .required(Some(Required::True))
                .build(),
        )),
        Library => {
            let about = "The library's bytes. The headers `teneral-release` and `teneral-signature` hold the files \
                         beside it, in base64.";
            let bytes = ContentBuilder::new().build();
            let body = RequestBodyBuilder::new().content("application/octet-stream", bytes).description(Some(about));
            operation.request_body(Some(body.required(Some(Required::True)).build()))
        }
    };
    let good = ResponseBuilder::new();
    let good = match said {
        One(name) => good.description("Done.").content("application/json", content(named(name))),
        Many(name) => {
            let list = RefOr::T(Schema::Array(ArrayBuilder::new().items(named(name)).build()));
            good.description("Done.").content("application/json", content(list))
        }
        Anything => good.description("Done.").content("application/json", ContentBuilder::new().build()),
        Metrics => good.description("OpenMetrics.").content(CONTENT_TYPE, content(RefOr::T(text().build().into()))),
        Events => good
            .description(
                "Server-sent events: `happened` with an Event and its id, `gap` with a Gap; comments keep it alive.",
            )
            .content("text/event-stream", content(RefOr::T(Schema::Object(text().build())))),
    };
    let refused = ResponseBuilder::new()
        .description("Not done, and why. docs/errors has a page for each code; after 429, `retry-after` says when.")
        .content("application/json", content(named("ApiError")));
    operation.response("200", good).response("default", refused)
}

fn named(schema: &str) -> RefOr<Schema> {
    RefOr::Ref(Ref::from_schema_name(schema))
}

fn content(schema: RefOr<Schema>) -> utoipa::openapi::Content {
    ContentBuilder::new().schema(Some(schema)).build()
}
