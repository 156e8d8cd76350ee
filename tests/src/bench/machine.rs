//! What the machine can do and what a process costs: the figures beside which every result stands.

use std::fs::{self, File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use tokio::time::Instant;

/// CPU time that a process has used since it started, user and system together.
///
/// # Errors
/// If the process is gone, or this isn't Linux.
pub fn cpu_time(pid: u32) -> anyhow::Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))
        .with_context(|| format!("process {pid} is gone"))?;
    // The second field is the program's name in parentheses and may hold spaces.
    let (_, rest) = stat.rsplit_once(')').context("unreadable /proc stat")?;
    let mut fields = rest.split_whitespace().skip(11);
    let user: u64 = fields.next().context("utime")?.parse()?;
    let system: u64 = fields.next().context("stime")?.parse()?;
    // Linux counts in 1/100 s for every architecture that vrx runs on.
    Ok(Duration::from_millis((user + system) * 10))
}

/// Resident memory of a process in bytes, without the pages that map a file.
///
/// # Errors
/// If the process is gone.
pub fn anonymous_memory(pid: u32) -> anyhow::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status
        .lines()
        .find(|line| line.starts_with("RssAnon:"))
        .context("RssAnon")?;
    let kib: u64 = line
        .split_whitespace()
        .nth(1)
        .context("RssAnon value")?
        .parse()?;
    Ok(kib * 1024)
}

/// How many times a second this disk makes 4 KiB durable, one after another: what one answer at a time can't exceed.
///
/// # Errors
/// If the folder can't be written.
pub fn fsync_rate(folder: &Path, window: Duration) -> anyhow::Result<f64> {
    let path = folder.join("fsync-rate.tmp");
    let mut file = OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .open(&path)?;
    let page = [0x5a_u8; 4096];
    // A write-ahead log appends into space that it has used before; so does this.
    for _ in 0..1024 {
        file.write_all(&page)?;
    }
    file.sync_all()?;
    let start = Instant::now();
    let mut count = 0_u32;
    while start.elapsed() < window {
        if count.is_multiple_of(1024) {
            file.seek(SeekFrom::Start(0))?;
        }
        file.write_all(&page)?;
        file.sync_data()?;
        count += 1;
    }
    let rate = f64::from(count) / start.elapsed().as_secs_f64();
    drop(file);
    fs::remove_file(&path)?;
    Ok(rate)
}

/// The load average of the last minute.
pub fn load() -> String {
    fs::read_to_string("/proc/loadavg")
        .ok()
        .and_then(|text| text.split_whitespace().next().map(str::to_owned))
        .unwrap_or_else(|| "unknown".to_owned())
}

/// How many cores the program may use.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// Bytes below a folder.
///
/// # Errors
/// If the folder can't be read.
pub fn folder_size(folder: &Path) -> anyhow::Result<u64> {
    let mut total = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let meta = entry.metadata()?;
        total += if meta.is_dir() {
            folder_size(&entry.path())?
        } else {
            meta.len()
        };
    }
    Ok(total)
}

/// Reads a file from end to end, so that a window doesn't measure a cold cache.
///
/// # Errors
/// If the file can't be read.
pub fn warm(path: &Path) -> anyhow::Result<()> {
    std::io::copy(&mut File::open(path)?, &mut std::io::sink())?;
    Ok(())
}
