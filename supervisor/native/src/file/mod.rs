//! `native/file`: parts read, bytes appended, growing files followed.
//!
//! Disks block, so each act runs on a thread that may.
//!
//! * `beneath`: files opened beneath what is granted
//! * `tail`: a file that grows, is rotated and truncated

mod beneath;
mod tail;

use crate::call::{Call, Refused};
use crate::grants::{FileAct, Grants};
use crate::host::Native;
use crate::streams::Sink;
use beneath::{Beneath, Unopened};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tail::{Tail, Told};
use teneral_native_api::file::{
    Append, Appended, CHUNK_BYTES_MAX, Chunk, Follow, Following, Keep, Message, Part, Read,
};

/// How long between two looks at a file that did not grow.
const LOOK: Duration = Duration::from_millis(50);

/// The same, at one that cannot be looked at.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

pub(crate) struct Files {
    pub(crate) grants: Arc<Grants>,
}

impl Files {
    fn granted(&self, call: &Call, path: &str, act: FileAct) -> Result<Beneath, Refused> {
        let path = Path::new(path);
        Ok(Beneath::new(self.grants.file(call.sender(), path, act)?, path))
    }
}

impl Native for Files {
    type Message = Message;

    async fn handle(&self, message: Message, call: &mut Call) -> Result<(), Refused> {
        match message {
            Message::Read(asked) => {
                let file = self.granted(call, &asked.path, FileAct::Read)?;
                let part = on_a_thread(call, move || read(&file, &asked)).await?;
                call.reply(&part);
            }
            Message::Append(asked) => {
                let file = self.granted(call, &asked.path, FileAct::Append)?;
                let appended = on_a_thread(call, move || append(&file, &asked)).await?;
                call.reply(&appended);
            }
            Message::Follow(asked) => {
                let file = self.granted(call, &asked.path, FileAct::Follow)?;
                chunk(asked.bytes_max)?;
                let (path, looked) = (asked.path.clone(), file.clone());
                match on_a_thread(call, move || Ok(looked.named())).await? {
                    // It may come to be one that can be followed.
                    Ok(_) | Err(Unopened::Missing | Unopened::Io(_)) => {}
                    Err(error) => return Err(error.refused(&path)),
                }
                call.keep(&path, |sink| follow(sink, file, asked))?;
                call.reply(&Following {});
            }
            Message::Unfollow(asked) => call.end(&asked.path),
        }
        Ok(())
    }
}

fn chunk(bytes: u32) -> Result<usize, Refused> {
    match bytes {
        1..=CHUNK_BYTES_MAX => Ok(bytes as usize),
        _ => Err(Refused::failed(format!("{bytes} bytes: a chunk has 1 to {CHUNK_BYTES_MAX}"))),
    }
}

/// The thread goes on when nobody waits for it any more, and the sender's next message waits for it.
async fn on_a_thread<T: Send + 'static>(
    call: &Call,
    act: impl FnOnce() -> Result<T, Refused> + Send + 'static,
) -> Result<T, Refused> {
    let turn = call.turn();
    let act = move || {
        let _until_done = turn;
        act()
    };
    tokio::task::spawn_blocking(act).await?
}

fn read(file: &Beneath, asked: &Read) -> Result<Part, Refused> {
    let bytes_max = chunk(asked.bytes_max)?;
    let opened = file.open().map_err(|error| error.refused(&asked.path))?;
    let left = usize::try_from(opened.file_bytes.saturating_sub(asked.offset)).unwrap_or(usize::MAX);
    let mut bytes = vec![0; left.min(bytes_max)];
    let mut filled = 0;
    while filled < bytes.len() {
        match opened.file.read_at(&mut bytes[filled..], asked.offset + filled as u64)? {
            0 => break,
            more => filled += more,
        }
    }
    bytes.truncate(filled);
    Ok(Part { bytes: bytes.into(), file_bytes: opened.file_bytes })
}

fn append(file: &Beneath, asked: &Append) -> Result<Appended, Refused> {
    if asked.bytes.len() > CHUNK_BYTES_MAX as usize {
        let bytes = asked.bytes.len();
        return Err(Refused::failed(format!("{bytes} bytes, over the limit of {CHUNK_BYTES_MAX} a time")));
    }
    let mut opened = file.append().map_err(|error| error.refused(&asked.path))?;
    opened.file.write_all(&asked.bytes)?;
    if asked.keep == Keep::Synced {
        opened.file.sync_data()?;
    }
    Ok(Appended { file_bytes: opened.file.metadata()?.len() })
}

/// Tells what a file has and gets, until nobody is told any more.
async fn follow(sink: Sink, file: Beneath, asked: Follow) {
    let Follow { path, since, stream, cut, bytes_max } = asked;
    let mut tail = Tail::new(file, since, cut, bytes_max as usize);
    let mut failing = false;
    while !sink.is_gone() {
        let looked = tokio::task::spawn_blocking(move || {
            let told = tail.next();
            (tail, told)
        });
        let Ok((back, told)) = looked.await else { return };
        tail = back;
        match told {
            Ok(Some(Told { bytes, place })) => {
                failing = false;
                let chunk = Chunk { path: path.clone(), stream, bytes: bytes.into(), place };
                if sink.tell(&chunk).await.is_err() {
                    return;
                }
            }
            Ok(None) => {
                failing = false;
                tokio::time::sleep(LOOK).await;
            }
            Err(error) => {
                if !failing {
                    let (code, hint) = ("NATIVE-FOLLOW", "it is tried again every second");
                    tracing::warn!(code, actor = %sink.to(), path, %error, hint, "a followed file cannot be read");
                }
                failing = true;
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        }
    }
}
