//! Enums that travel as small numbers: on the wire, in sealed rows and in committed fields.

/// Declares an enum with one fixed code a variant, `code()` and `from_code()`. A landed code is never given to another variant.
macro_rules! coded_enum {
    ($(#[$meta:meta])* pub enum $name:ident { $($(#[$variant_meta:meta])* $variant:ident = $code:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum $name {
            $($(#[$variant_meta])* $variant = $code,)+
        }

        impl $name {
            /// Every variant, by code.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// The fixed code of this variant.
            pub const fn code(self) -> u8 {
                self as u8
            }

            /// The variant of a code; `None` for zero (unspecified) and any other unknown code.
            pub const fn from_code(code: u8) -> Option<Self> {
                match code {
                    $($code => Some(Self::$variant),)+
                    _ => None,
                }
            }
        }
    };
}
pub(crate) use coded_enum;

#[cfg(test)]
mod tests {
    use crate::{
        ConsentMethod, DisclosureReason, DoseStatus, EntryKind, EntryMark, HoldGround,
        IdentityDocument, Purpose, Sex,
    };

    #[test]
    fn every_code_leads_back_to_its_variant_and_zero_to_none() {
        macro_rules! check {
            ($($name:ident),+) => {$(
                for variant in $name::ALL {
                    assert_eq!($name::from_code(variant.code()), Some(*variant));
                }
                assert_eq!($name::from_code(0), None);
                assert_eq!($name::from_code(255), None);
            )+};
        }
        check!(
            ConsentMethod,
            DisclosureReason,
            DoseStatus,
            EntryKind,
            EntryMark,
            HoldGround,
            IdentityDocument,
            Purpose,
            Sex
        );
    }
}
