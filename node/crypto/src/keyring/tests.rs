use proptest::prelude::*;

use vrx_domain::{EntryId, IndividualNumber, InquiryId, PersonId};

use super::*;
use crate::context::Context;
use crate::person_key::PersonKey;
use crate::testing::{Seeded, keyring, tenant};

const NUMBER: &str = "123456789018";

fn person(byte: u8) -> PersonId {
    PersonId::from_bytes([byte; 16])
}

fn number() -> IndividualNumber {
    IndividualNumber::parse(NUMBER).ok().unwrap()
}

#[test]
fn a_number_opens_only_with_its_person_its_key_and_its_tenant() {
    let (ours, theirs, random) = (keyring(1), keyring(2), Seeded::new(9));
    let (key, other) = (ours.new_person_key(&random), ours.new_person_key(&random));
    let sealed = ours
        .seal_number(&random, person(1), &key, &number())
        .unwrap();
    let digits = |keyring: &Keyring, person, key: &PersonKey| {
        keyring
            .open_number(person, key, sealed.as_bytes())
            .map(|number| *number.digits())
    };
    assert_eq!(digits(&ours, person(1), &key).unwrap(), NUMBER.as_bytes());
    assert_eq!(
        digits(&ours, person(2), &key),
        Err(CryptoError::Open),
        "another person"
    );
    assert_eq!(
        digits(&ours, person(1), &other),
        Err(CryptoError::Open),
        "another person's key"
    );
    assert_eq!(
        digits(&theirs, person(1), &key),
        Err(CryptoError::Open),
        "another tenant's keyring"
    );
}

#[test]
fn a_wrapped_person_key_opens_only_in_its_row() {
    let (keyring, random) = (keyring(1), Seeded::new(9));
    let key = keyring.new_person_key(&random);
    let wrapped = keyring.wrap_person_key(&random, person(1), &key).unwrap();
    let unwrapped = keyring
        .unwrap_person_key(person(1), wrapped.as_bytes())
        .ok()
        .unwrap();
    assert_eq!(unwrapped.secret().expose(), key.secret().expose());
    assert_eq!(
        keyring
            .unwrap_person_key(person(2), wrapped.as_bytes())
            .err(),
        Some(CryptoError::Open)
    );
    let as_record = keyring.open_record(
        Context::PersonKey,
        *person(1).as_bytes(),
        wrapped.as_bytes(),
    );
    assert_eq!(
        as_record,
        Err(CryptoError::Open),
        "a person's row read as the tenant's"
    );
}

#[test]
fn a_row_of_a_person_opens_only_in_its_place() {
    let (keyring, random) = (keyring(1), Seeded::new(9));
    let key = keyring.new_person_key(&random);
    let sealed = key
        .seal(
            &random,
            &tenant(1),
            Context::DoseBody,
            [5; 16],
            person(1),
            b"dose",
        )
        .unwrap();
    let open = |at: u8, context, row, person| {
        key.open(&tenant(at), context, row, person, sealed.as_bytes())
    };
    assert_eq!(
        *open(1, Context::DoseBody, [5; 16], person(1)).unwrap(),
        b"dose"
    );
    for moved in [
        open(2, Context::DoseBody, [5; 16], person(1)),
        open(1, Context::PersonBody, [5; 16], person(1)),
        open(1, Context::DoseBody, [6; 16], person(1)),
        open(1, Context::DoseBody, [5; 16], person(2)),
    ] {
        assert_eq!(moved, Err(CryptoError::Open));
    }
}

#[test]
fn a_ciphertext_that_names_another_key_fails_like_any_other() {
    let (keyring, random) = (keyring(1), Seeded::new(9));
    let key = keyring.new_person_key(&random);
    let renamed = |sealed: Sealed| {
        let mut bytes = sealed.into_bytes();
        bytes[4] = 9;
        bytes
    };
    let record = renamed(
        keyring
            .seal_record(&random, Context::ImportBody, [1; 16], b"row")
            .unwrap(),
    );
    assert_eq!(
        keyring.open_record(Context::ImportBody, [1; 16], &record),
        Err(CryptoError::Open)
    );
    let sealed = renamed(
        keyring
            .seal_number(&random, person(1), &key, &number())
            .unwrap(),
    );
    assert_eq!(
        keyring.open_number(person(1), &key, &sealed).err(),
        Some(CryptoError::Open)
    );
    let dose = renamed(
        key.seal(
            &random,
            &tenant(1),
            Context::DoseBody,
            [1; 16],
            person(1),
            b"d",
        )
        .unwrap(),
    );
    assert_eq!(
        key.open(&tenant(1), Context::DoseBody, [1; 16], person(1), &dose),
        Err(CryptoError::Open)
    );
}

#[test]
fn an_opening_needs_its_own_wrapped_key_and_its_own_entry() {
    let (keyring, random) = (keyring(1), Seeded::new(9));
    let (here, there) = (EntryId::from_bytes([1; 16]), EntryId::from_bytes([2; 16]));
    let first = keyring.seal_opening(&random, here, b"first").unwrap();
    let second = keyring.seal_opening(&random, here, b"second").unwrap();
    let open = |entry, key: &Sealed, body: &Sealed| {
        keyring.open_opening(entry, key.as_bytes(), body.as_bytes())
    };
    assert_eq!(
        *open(here, &first.wrapped_key, &first.body).unwrap(),
        b"first"
    );
    assert_eq!(
        open(here, &second.wrapped_key, &first.body),
        Err(CryptoError::Open)
    );
    assert_eq!(
        open(there, &first.wrapped_key, &first.body),
        Err(CryptoError::Open)
    );
    let as_inquiry = InquiryId::from_bytes([1; 16]);
    let opened = keyring.open_inquiry(
        as_inquiry,
        first.wrapped_key.as_bytes(),
        first.body.as_bytes(),
    );
    assert_eq!(
        opened,
        Err(CryptoError::Open),
        "an opening read as an inquiry"
    );
}

#[test]
fn an_inquiry_comes_back() {
    let (keyring, random) = (keyring(1), Seeded::new(9));
    let id = InquiryId::from_bytes([1; 16]);
    let sealed = keyring.seal_inquiry(&random, id, b"inquiry").unwrap();
    let opened = keyring.open_inquiry(id, sealed.wrapped_key.as_bytes(), sealed.body.as_bytes());
    assert_eq!(*opened.unwrap(), b"inquiry");
}

#[test]
fn after_a_rotation_the_new_key_seals_both_tag_and_the_old_one_still_opens() {
    let (mut keyring, random) = (keyring(1), Seeded::new(9));
    let old = keyring
        .seal_record(&random, Context::ImportBody, [1; 16], b"row")
        .unwrap();
    let old_tag = keyring.tags(TagKind::Number, NUMBER.as_bytes()).active();
    for kind in [KeyKind::Record, KeyKind::Tag] {
        let pending = keyring.add_pending(kind, &random).unwrap();
        assert!(
            keyring.tags(TagKind::Number, b"x").live().count() < 3,
            "a pending key tags nothing"
        );
        keyring.activate(kind, pending).unwrap();
    }
    let new = keyring
        .seal_record(&random, Context::ImportBody, [1; 16], b"row")
        .unwrap();
    assert_eq!(
        (old.key_id(), new.key_id()),
        (Some(KeyId(1)), Some(KeyId(2)))
    );
    for sealed in [&old, &new] {
        assert_eq!(
            *keyring
                .open_record(Context::ImportBody, [1; 16], sealed.as_bytes())
                .unwrap(),
            b"row"
        );
    }
    let live: Vec<_> = keyring
        .tags(TagKind::Number, NUMBER.as_bytes())
        .live()
        .collect();
    assert_eq!(
        live.iter().map(|(id, _)| *id).collect::<Vec<_>>(),
        [KeyId(2), KeyId(1)]
    );
    assert!(live[1] == old_tag);
    keyring.destroy(KeyKind::Record, KeyId(1)).unwrap();
    assert_eq!(
        keyring.open_record(Context::ImportBody, [1; 16], old.as_bytes()),
        Err(CryptoError::Open)
    );
}

#[test]
fn destroying_the_number_key_ends_the_number_though_the_person_key_lives() {
    let (mut keyring, random) = (keyring(1), Seeded::new(9));
    let key = keyring.new_person_key(&random);
    let sealed = keyring
        .seal_number(&random, person(1), &key, &number())
        .unwrap();
    let next = keyring.add_pending(KeyKind::Number, &random).unwrap();
    keyring.activate(KeyKind::Number, next).unwrap();
    assert!(
        keyring
            .open_number(person(1), &key, sealed.as_bytes())
            .is_ok()
    );
    keyring.destroy(KeyKind::Number, KeyId(1)).unwrap();
    assert_eq!(
        keyring
            .open_number(person(1), &key, sealed.as_bytes())
            .err(),
        Some(CryptoError::Open)
    );
}

#[test]
fn a_key_never_goes_back_in_its_life() {
    let mut keyring = keyring(1);
    let refused = |kind, id, from, to| Err(CryptoError::InvalidTransition { kind, id, from, to });
    let (kind, first) = (KeyKind::Log, KeyId(1));
    assert_eq!(
        keyring.destroy(kind, first),
        refused(kind, first, KeyState::Active, KeyState::Destroyed)
    );
    assert_eq!(
        keyring.activate(kind, first),
        refused(kind, first, KeyState::Active, KeyState::Active)
    );
    let second = keyring.add_pending(kind, &Seeded::new(1)).unwrap();
    keyring.activate(kind, second).unwrap();
    assert_eq!(
        keyring.activate(kind, first),
        refused(kind, first, KeyState::Retired, KeyState::Active)
    );
    keyring.destroy(kind, first).unwrap();
    assert_eq!(
        keyring.destroy(kind, first),
        refused(kind, first, KeyState::Destroyed, KeyState::Destroyed)
    );
    assert_eq!(
        keyring.activate(kind, KeyId(7)),
        Err(CryptoError::UnknownKey(kind, KeyId(7)))
    );
    assert_eq!(
        keyring.add_pending(kind, &Seeded::new(2)),
        Ok(KeyId(3)),
        "an id is never given out again"
    );
}

#[test]
fn signatures_verify_under_the_public_key_and_the_witness_has_its_own() {
    let keyring = keyring(1);
    let check = |public: [u8; 32], signature: [u8; 64]| {
        ring::signature::UnparsedPublicKey::new(&ring::signature::ED25519, public)
            .verify(b"note", &signature)
    };
    assert!(check(keyring.log_public_key(), keyring.sign_log(b"note")).is_ok());
    assert!(check(keyring.witness_public_key(), keyring.sign_witness(b"note")).is_ok());
    assert!(check(keyring.witness_public_key(), keyring.sign_log(b"note")).is_err());
}

#[test]
fn what_a_retired_witness_key_cosigned_is_still_told_by_its_public_key() {
    let mut keyring = keyring(1);
    let before = keyring.witness_public_key();
    assert_eq!(keyring.witness_public_keys(), [before]);
    let id = keyring
        .add_pending(KeyKind::Witness, &Seeded::new(2))
        .unwrap();
    assert_eq!(keyring.witness_public_keys(), [before], "not yet");
    keyring.activate(KeyKind::Witness, id).unwrap();
    let now = keyring.witness_public_key();
    assert_ne!(now, before);
    assert_eq!(keyring.witness_public_keys(), [now, before]);
}

#[test]
fn every_seal_under_the_record_and_log_keys_is_counted() {
    let (keyring, random) = (keyring(1), Seeded::new(9));
    keyring
        .seal_record(&random, Context::PageToken, [0; 16], b"token")
        .unwrap();
    keyring
        .wrap_person_key(&random, person(1), &keyring.new_person_key(&random))
        .unwrap();
    keyring
        .seal_inquiry(&random, InquiryId::from_bytes([1; 16]), b"inquiry")
        .ok()
        .unwrap();
    keyring
        .seal_opening(&random, EntryId::from_bytes([1; 16]), b"opening")
        .ok()
        .unwrap();
    assert_eq!(keyring.seals().used(KeyKind::Record, KeyId(1)), Some(3));
    assert_eq!(keyring.seals().used(KeyKind::Log, KeyId(1)), Some(1));
}

proptest! {
    #[test]
    fn rows_of_any_content_come_back(plaintext in proptest::collection::vec(any::<u8>(), 0..300), row: [u8; 16]) {
        let (keyring, random) = (keyring(1), Seeded::new(9));
        let sealed = keyring.seal_record(&random, Context::ImportBody, row, &plaintext).unwrap();
        let opened = keyring.open_record(Context::ImportBody, row, sealed.as_bytes()).unwrap();
        prop_assert_eq!(opened.as_slice(), plaintext.as_slice());
        let entry = EntryId::from_bytes(row);
        let sealed = keyring.seal_opening(&random, entry, &plaintext).unwrap();
        let opened = keyring.open_opening(entry, sealed.wrapped_key.as_bytes(), sealed.body.as_bytes()).unwrap();
        prop_assert_eq!(opened.as_slice(), plaintext.as_slice());
    }
}
