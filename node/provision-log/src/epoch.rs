//! A restored log against the checkpoint that was kept of it, and the new epoch that an older one goes on in.
//!
//! What was signed can't be taken back: a log that lost its newest entries must not grow other ones in their place under the
//! same name. So it goes on under the next epoch's name (the last part of its origin), and the first entry there says which
//! state it goes on from and which one was signed before: two checkpoints, as texts, in the fields `continues` and `kept`.

use std::path::Path;
use std::sync::Arc;

use vrx_crypto::Keyring;
use vrx_domain::EntryKind;
use vrx_domain::audit::desk_content;
use vrx_storage::{BatchRows, HeadRow, LostLog, Prepared};
use vrx_tlog::{Checkpoint, SignedNote, Tree, VerifierKey};

use crate::batch::{CLOCK_TOLERANCE, Job};
use crate::checkpoint::SignedCheckpoint;
use crate::copied::CheckedLog;
use crate::entry::{Entry, Subject};
use crate::error::StartError;
use crate::kept;
use crate::options::LogOptions;
use crate::reader::LogReader;

/// The checkpoint kept of a log, of whatever epoch, its signature checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptBefore {
    /// What was signed.
    pub checkpoint: Checkpoint,
    /// The epoch in its origin.
    pub epoch: u32,
}

/// Reads the checkpoint kept at the second path, if there is one.
pub fn kept_before(
    options: &LogOptions,
    keyring: &Keyring,
) -> Result<Option<KeptBefore>, StartError> {
    let path = &options.kept_checkpoint;
    let refused = |why: &str| StartError::Kept {
        path: path.display().to_string(),
        why: why.to_owned(),
    };
    let note = match std::fs::read_to_string(path) {
        Ok(note) => note,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(refused(&error.to_string())),
    };
    let signed = SignedNote::parse(&note).map_err(|error| refused(&error.to_string()))?;
    let claimed = Checkpoint::parse(signed.text()).map_err(|error| refused(&error.to_string()))?;
    let epoch = claimed.origin.rsplit('/').next().map(str::parse);
    let Some(Ok(epoch)) = epoch else {
        return Err(refused("its origin names no epoch"));
    };
    let mut of_epoch = options.clone();
    of_epoch.epoch = epoch;
    let key = of_epoch.verifier_key(&keyring.log_public_key())?;
    let checkpoint =
        Checkpoint::open(&note, &key, key.name()).map_err(|error| refused(&error.to_string()))?;
    Ok(Some(KeptBefore { checkpoint, epoch }))
}

/// How a restored log stands to what was signed before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It continues the kept checkpoint.
    Newest,
    /// Nothing is kept: nobody can say whether it is the newest.
    NothingKept,
    /// Entries that were signed are missing.
    Older {
        /// Entries in the kept checkpoint.
        kept: u64,
    },
}

/// The first entry of a new epoch, as rows that come after those of the restored log.
pub struct NewEpoch {
    /// Its entry, the tiles that it fills, the head after it.
    pub rows: BatchRows,
    /// The epochs that lost entries: what the members are asked for.
    pub lost: Vec<LostLog>,
    tree: Tree,
}

impl CheckedLog {
    /// Holds the log against its own signed checkpoint and against the kept one. Both sizes must have been remembered.
    pub fn standing(
        &self,
        options: &LogOptions,
        keyring: &Keyring,
        kept: Option<&KeptBefore>,
    ) -> Result<Standing, StartError> {
        let head = self.head();
        if let Some(note) = &head.checkpoint {
            let key = epoch_key(options, keyring, head.epoch)?;
            let stored = Checkpoint::open(note, &key, key.name()).map_err(|_| {
                StartError::Corrupt("the stored checkpoint isn't signed by this log's key")
            })?;
            if self.root_at(stored.size) != Some(stored.root) {
                return Err(StartError::Rewritten {
                    size: stored.size,
                    path: "the copy itself".to_owned(),
                });
            }
        }
        let Some(kept) = kept else {
            return Ok(Standing::NothingKept);
        };
        let size = kept.checkpoint.size;
        if kept.epoch > head.epoch || size > head.size {
            return Ok(Standing::Older { kept: size });
        }
        if self.root_at(size) == Some(kept.checkpoint.root) {
            Ok(Standing::Newest)
        } else {
            Err(StartError::Rewritten {
                size,
                path: options.kept_checkpoint.display().to_string(),
            })
        }
    }

    /// Makes the first entry of the epoch after all that are known.
    pub fn open_epoch(
        self,
        options: &LogOptions,
        keyring: &Arc<Keyring>,
        kept: Option<&KeptBefore>,
    ) -> Result<NewEpoch, StartError> {
        let now = options.clock.now().0;
        if now.saturating_add(CLOCK_TOLERANCE) < self.head.last_time {
            return Err(StartError::Corrupt(
                "the log's last entry is later than this machine's clock; set the clock right",
            ));
        }
        let known = kept.map_or(self.head.epoch, |kept| kept.epoch.max(self.head.epoch));
        let epoch = known.checked_add(1).ok_or(StartError::Origin)?;
        let key = epoch_key(options, keyring, self.head.epoch)?;
        let continues = Checkpoint {
            origin: key.name().to_owned(),
            size: self.head.size,
            root: self.head.root,
        };
        let lost = (self.head.epoch..epoch)
            .map(|nth| self.lost_log(options, keyring, kept, nth))
            .collect::<Result<_, _>>()?;
        let kept = kept.map_or_else(String::new, |kept| kept.checkpoint.body());
        let entry = Entry {
            kind: EntryKind::Control,
            actor: options.own_actor("new-epoch")?,
            subject: Subject::Unknown,
            content: desk_content(&[
                ("epoch", &epoch.to_string()),
                ("continues", &continues.body()),
                ("kept", &kept),
            ]),
        };
        let malformed = |_| StartError::Corrupt("the new epoch's first entry can't be made");
        let (draft, _) = entry.draft(&*options.random).map_err(malformed)?;
        let job = Job {
            tree: self.tree,
            drafts: Arc::new([draft]),
            now,
            epoch: self.head.epoch,
            checkpoint: None,
            keyring: Arc::clone(keyring),
            random: Arc::clone(&options.random),
        };
        let prepared = Prepared {
            head: self.head,
            since: Vec::new(),
            results: vec![Ok(())],
            heads: vec![None],
        };
        let (mut rows, sealed) = job
            .seal(&prepared)
            .map_err(|_| StartError::Corrupt("the new epoch's first entry can't be sealed"))?;
        rows.head.epoch = epoch;
        Ok(NewEpoch {
            rows,
            lost,
            tree: sealed.tree,
        })
    }

    /// What a known epoch lost: of the restored one what came after it; of a later one, opened by an earlier restore, everything.
    fn lost_log(
        &self,
        options: &LogOptions,
        keyring: &Keyring,
        kept: Option<&KeptBefore>,
        epoch: u32,
    ) -> Result<LostLog, StartError> {
        let restored = epoch == self.head.epoch;
        let signed = kept.filter(|kept| kept.epoch == epoch);
        Ok(LostLog {
            origin: epoch_key(options, keyring, epoch)?.name().to_owned(),
            from_index: if restored { self.head.size } else { 0 },
            signed: signed.map(|kept| (kept.checkpoint.size, kept.checkpoint.root)),
        })
    }
}

impl LogReader {
    /// The epoch of this log: the last part of its name.
    pub fn epoch(&self) -> u32 {
        let last = self.verifier_key().name().rsplit('/').next();
        last.and_then(|epoch| epoch.parse().ok()).unwrap_or(0)
    }
}

impl NewEpoch {
    /// The head after the first entry.
    pub fn head(&self) -> &HeadRow {
        &self.rows.head
    }

    /// Signs the new epoch's checkpoint and keeps it at the second path; the old epoch's stays beside it, its epoch in its name.
    /// Only for rows that are durable: a signature can't be taken back.
    pub fn keep(&self, options: &LogOptions, keyring: &Keyring) -> Result<(), StartError> {
        let key = epoch_key(options, keyring, self.rows.head.epoch)?;
        let path = &options.kept_checkpoint;
        let failed = |error: std::io::Error| StartError::Kept {
            path: path.display().to_string(),
            why: error.to_string(),
        };
        if let Some(before) = kept_before(options, keyring)? {
            let note = std::fs::read_to_string(path).map_err(failed)?;
            kept::write(&beside(path, before.epoch), &note).map_err(failed)?;
        }
        let checkpoint = SignedCheckpoint::sign(
            self.tree.snapshot(),
            self.rows.head.last_time,
            &key,
            keyring,
        );
        kept::write(path, checkpoint.note()).map_err(failed)
    }
}

fn beside(path: &Path, epoch: u32) -> std::path::PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".epoch-{epoch}"));
    name.into()
}

fn epoch_key(
    options: &LogOptions,
    keyring: &Keyring,
    epoch: u32,
) -> Result<VerifierKey, StartError> {
    let mut of_epoch = options.clone();
    of_epoch.epoch = epoch;
    of_epoch.verifier_key(&keyring.log_public_key())
}
