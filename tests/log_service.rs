//! The log service of `examples/log-service`, as its README starts it: every line that is written is counted once.

use crate::harness::house::until;
use crate::harness::served::Served;
use crate::harness::{Test, root, test};
use serde_json::{Value, json};
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use tempfile::TempDir;

pub(crate) fn tests() -> Vec<Test> {
    vec![test(every_line_of_a_log_is_counted_once_over_upgrades_rotations_and_restarts)]
}

/// Writes lines as a web server does, and opens its log anew when it is told to.
struct Writer {
    over: Arc<AtomicBool>,
    reopen: Arc<AtomicBool>,
    thread: JoinHandle<u64>,
}

impl Writer {
    fn at(log: PathBuf) -> Self {
        let (over, reopen) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let (ends, opens) = (Arc::clone(&over), Arc::clone(&reopen));
        let thread = std::thread::spawn(move || {
            let open = || OpenOptions::new().append(true).create(true).open(&log).expect("it opens");
            let (mut file, mut lines): (File, u64) = (open(), 0);
            while !ends.load(Ordering::Relaxed) {
                if opens.swap(false, Ordering::Relaxed) {
                    file = open();
                }
                for _ in 0..20 {
                    let line = format!("192.0.2.1 - - [x] \"GET /{} HTTP/1.1\" 200 6 \"-\" \"-\" 0.001\n", lines % 7);
                    file.write_all(line.as_bytes()).expect("it writes");
                    lines += 1;
                }
                std::thread::park_timeout(std::time::Duration::from_millis(1));
            }
            lines
        });
        Self { over, reopen, thread }
    }

    /// As logrotate does.
    fn rotate(&self, log: &Path, to: &str) {
        fs::rename(log, log.with_extension(to)).expect("it is ours");
        self.reopen.store(true, Ordering::Relaxed);
        until("it writes anew", || log.exists());
    }
}

fn asks(served: &Served, actor: &str, message: &str) -> Value {
    served.json(&["actor", "ask", actor, message])["reply"].clone()
}

fn every_line_of_a_log_is_counted_once_over_upgrades_rotations_and_restarts() {
    let desk = TempDir::with_prefix("teneral-log-").expect("a temporary directory");
    fs::create_dir(desk.path().join("logs")).expect("it is ours");
    let config = fs::read_to_string(root().join("examples/log-service/teneral.toml")).expect("it is there");
    // Any port: what is asked here is asked over the control socket.
    fs::write(desk.path().join("teneral.toml"), config.replace("127.0.0.1:8080", "127.0.0.1:0")).expect("it is ours");
    let log = desk.path().canonicalize().expect("it is there").join("logs/access.log");
    let writer = Writer::at(log.clone());
    let served = Served::at(desk, &[]);
    served.push(&["log-handler-v1", "log-handler-v2", "log-handler-v3", "log-follower-v1"]);
    served.says(&["actor", "start", "log-handler/web", "{}", "--version", "1.0.0"]);
    let start = json!({ "path": log, "to": "log-handler/web" }).to_string();
    served.says(&["actor", "start", "log-follower/web", &start, "--version", "1.0.0"]);
    let lines = |served: &Served| asks(served, "log-handler/web", "Report")["lines"].as_u64().expect("a number");
    let goes_on = |served: &Served| {
        let before = lines(served);
        until("it goes on", || lines(served) > before + 100);
    };
    goes_on(&served);
    served.says(&["upgrade", "apply", "--max-pause", "60s", "log-handler", "--to", "2.0.0"]);
    writer.rotate(&log, "1");
    goes_on(&served);
    served.says(&["upgrade", "apply", "--max-pause", "60s", "log-handler", "--to", "3.0.0"]);
    // What is rotated a second time before the stream comes to it is not found.
    let inode = || fs::metadata(&log).expect("it is there").ino();
    until("it has come to the new file", || asks(&served, "log-follower/web", "Look")["place"]["inode"] == inode());
    let (desk, ended) = served.stop();
    assert!(ended.success(), "{ended}");
    writer.rotate(&log, "2");
    let served = Served::at(desk, &[]);
    goes_on(&served);
    writer.over.store(true, Ordering::Relaxed);
    let written = writer.thread.join().expect("it writes");
    until("all is counted", || lines(&served) >= written);
    let report = asks(&served, "log-handler/web", "Report");
    assert_eq!(report["lines"], written, "{report:#}");
    let runs = report["account"]["senders"]["0"].as_array().expect("a list").len();
    assert_eq!(runs, 1, "none is lost, doubled or out of order: {report:#}");
    assert_eq!(asks(&served, "log-follower/web", "Look")["trouble"], Value::Null);
}
