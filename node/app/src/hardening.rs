//! What the process forbids itself before it touches a key.

use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};

use crate::failure::Failure;

/// No core dumps, and no other process of the same user may read this one's memory.
pub fn harden() -> Result<(), Failure> {
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    setrlimit(Resource::Core, none).map_err(|error| {
        Failure::unavailable(format!("core dumps can't be turned off: {error}"))
    })?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(|error| {
        Failure::unavailable(format!("the process can't be made non-dumpable: {error}"))
    })
}

#[cfg(test)]
mod tests {
    use rustix::process::{dumpable_behavior, getrlimit};

    use super::*;

    #[test]
    fn a_hardened_process_dumps_nothing() {
        harden().unwrap();
        assert_eq!(getrlimit(Resource::Core).current, Some(0));
        assert_eq!(dumpable_behavior().unwrap(), DumpableBehavior::NotDumpable);
    }
}
