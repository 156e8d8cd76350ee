//! How a provision ended: what the caller was told, and the true cause that only the log knows.

/// What the caller was told. Every *nothing* is the same to the caller, whatever its [`Cause`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Records were given, or held back and counted.
    Found,
    /// There is nothing to give.
    Nothing,
}

impl Outcome {
    /// The committed word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Found => "found",
            Self::Nothing => "nothing",
        }
    }
}

/// The true cause of an outcome, committed with the subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// Records were provided.
    Provided,
    /// The person is known and has no approved dose.
    NoDoses,
    /// The person is known and isn't answered for automatically.
    Withheld(WithheldCause),
    /// Nobody here has this number. It is kept nowhere.
    Unknown,
}

/// Why nothing is said of a person who is here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WithheldCause {
    /// The own register doesn't show that the person moved out.
    NotMovedOut,
    /// 支援措置, 自動応答不可: a human decides.
    Protected,
}

impl Cause {
    /// The committed word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Provided => "provided",
            Self::NoDoses => "no-doses",
            Self::Withheld(WithheldCause::NotMovedOut) => "not-moved-out",
            Self::Withheld(WithheldCause::Protected) => "protected",
            Self::Unknown => "unknown",
        }
    }

    /// What the caller is told.
    pub const fn outcome(self) -> Outcome {
        match self {
            Self::Provided => Outcome::Found,
            Self::NoDoses | Self::Withheld(_) | Self::Unknown => Outcome::Nothing,
        }
    }

    /// The cause of a committed word.
    pub fn parse(text: &str) -> Option<Self> {
        [
            Self::Provided,
            Self::NoDoses,
            Self::Withheld(WithheldCause::NotMovedOut),
            Self::Withheld(WithheldCause::Protected),
            Self::Unknown,
        ]
        .into_iter()
        .find(|cause| cause.as_str() == text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_provided_is_found_and_every_word_leads_back() {
        for word in [
            "provided",
            "no-doses",
            "not-moved-out",
            "protected",
            "unknown",
        ] {
            let cause = Cause::parse(word).unwrap();
            assert_eq!(cause.as_str(), word);
            assert_eq!(cause.outcome() == Outcome::Found, word == "provided");
        }
        assert_eq!(Cause::parse("Provided"), None);
    }
}
