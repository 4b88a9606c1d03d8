//! Images in a process, by the names that the dynamic loader knows them under, and a library that takes one away.

use super::c::Source;
use std::fs;

/// c-echo whose answer to `Count` is this expression, with `before` before it in the source.
pub(crate) fn answering(expression: &str, before: &str) -> Source {
    let told = format!("return reply_number(call, COUNTED, {expression}, err);");
    let source = Source::c_echo(1).edit("return reply_number(call, COUNTED, a->echoes, err);", &told);
    source.edit("static tn_status handle(", &format!("{before}\nstatic tn_status handle("))
}

/// Closes the files that images were loaded from, as a plugin may that closes what it did not open: glibc compares
/// names, and so hands back the old library when the next one comes under the same name.
pub(crate) const CLOSE_IMAGES: &str = r#"
#include <stdio.h>
#include <unistd.h>
static uint64_t close_images(void) {
  uint64_t closed = 0;
  char path[64], file[64] = {0};
  for (int fd = 3; fd < 1024; fd++) {
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    if (readlink(path, file, sizeof file - 1) > 0 && !strncmp(file, "/memfd:teneral", 14)) closed += !close(fd);
  }
  return closed;
}"#;

/// The numbers of the files that images are loaded from: they are in the names that the dynamic loader knows.
pub(crate) fn images_by_name() -> Vec<i32> {
    let files = fs::read_dir("/proc/self/fd").expect("there is a /proc").filter_map(Result::ok);
    let images =
        files.filter(|file| fs::read_link(file.path()).is_ok_and(|to| to.starts_with("/memfd:teneral (deleted)")));
    let mut numbers: Vec<i32> = images.filter_map(|file| file.file_name().to_str()?.parse().ok()).collect();
    numbers.sort_unstable();
    numbers
}
