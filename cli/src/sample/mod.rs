//! A deterministic maker of invented residents: the same seed, number, municipality and date make the same files, byte for byte.
//!
//! [`Sample`] yields residents one at a time; [`files`] writes them as the two CSV files that `vrx import` reads.

pub(crate) mod files;
mod names;
mod number;
mod person;
mod prng;

use jiff::{ToSpan, civil::Date};

use crate::failure::Failure;
use number::Numbers;
pub(crate) use person::{Kind, Plan, SampleDose, SamplePerson};
use prng::Prng;

/// The first day on which the invented programme vaccinated, and its last (the real one: 2021-02-17 to 2024-03-31).
const PROGRAMME: (Date, Date) = (
    jiff::civil::date(2021, 5, 10),
    jiff::civil::date(2024, 3, 31),
);
/// Earliest day a sample can be relative to: movers leave after the programme and before that day.
const EARLIEST_TODAY: Date = jiff::civil::date(2024, 8, 1);
/// Each kind a test may ask for has at least this many residents.
const AT_LEAST: usize = 10;
/// ... and movers with doses at least this many, where the total allows it.
const AT_LEAST_PROVIDED: usize = 500;
/// Every addressee number is below it.
const ADDRESSEES: u64 = 10_000_000_000;
/// The official ledger layout repeats its group of eight columns to this dose.
pub(crate) const LEDGER_DOSES: usize = 5;

/// Yields the residents of a [`Plan`], then its `entered` persons.
pub(crate) struct Sample {
    plan: Plan,
    kinds: std::vec::IntoIter<Kind>,
    prng: Prng,
    numbers: Numbers,
    serial: u64,
}

impl Sample {
    /// Refuses a plan too small to hold every kind, or for a day before the movers can have moved.
    pub(crate) fn new(plan: Plan) -> Result<Self, Failure> {
        if plan.today < EARLIEST_TODAY {
            return Err(Failure::Usage(format!(
                "--today は {EARLIEST_TODAY} 以降にしてください / --today must not be before {EARLIEST_TODAY}"
            )));
        }
        let persons = (plan.residents as u64).saturating_add(plan.entered as u64);
        if plan.first_addressee.saturating_add(persons) > ADDRESSEES {
            return Err(Failure::Usage(
                "--first-addressee が大きすぎます。宛名番号は 10 桁までです / --first-addressee is too large: addressee numbers have 10 digits"
                    .to_owned(),
            ));
        }
        let mut prng = Prng::new(plan.seed);
        let mut kinds = kinds(plan.residents)?;
        prng.shuffle(&mut kinds);
        kinds.extend(std::iter::repeat_n(Kind::Entered, plan.entered));
        Ok(Self {
            plan,
            kinds: kinds.into_iter(),
            prng,
            numbers: Numbers::new(),
            serial: 0,
        })
    }

    fn person(&mut self, kind: Kind) -> SamplePerson {
        self.serial += 1;
        let (family, family_kana) = self.prng.pick(names::FAMILY);
        let female = self.prng.chance(51);
        let (given, given_kana) = self.prng.pick(if female {
            names::GIVEN_FEMALE
        } else {
            names::GIVEN_MALE
        });
        let today = self.plan.today;
        let birth_date = back(today, self.prng.between(16 * 365, 95 * 365));
        // Nobody became a resident later than the programme began, so that each dose was given to a resident.
        let became = back(PROGRAMME.0, self.prng.between(1, 4_000)).max(birth_date);
        let moved_out = matches!(
            kind,
            Kind::Provided | Kind::Doseless | Kind::Protected | Kind::Entered
        );
        let ceased = moved_out.then(|| back(today, self.prng.between(3, 90)));
        let protected = kind == Kind::Protected;
        let protected_from = protected.then(|| back(today, self.prng.between(100, 300)));
        // A support measure runs a year and is renewed; some ended on paper and still hold, because it doesn't lapse by itself.
        let protected_until = protected_from.map(|from| from.saturating_add(1.year()));
        let doses = if kind == Kind::Doseless {
            Vec::new()
        } else {
            self.doses(birth_date)
        };
        SamplePerson {
            kind,
            individual_number: self.numbers.next(&mut self.prng),
            addressee_number: format!("{:010}", self.plan.first_addressee + self.serial - 1),
            name_kanji: format!("{family}　{given}"),
            name_kana: format!("{family_kana}　{given_kana}"),
            birth_date,
            sex: match (self.prng.below(400), female) {
                (0, _) => 9,
                (_, true) => 2,
                (_, false) => 1,
            },
            address: self.address(),
            became_resident: Some(became),
            ceased_resident: ceased,
            protected_from,
            protected_until,
            doses,
        }
    }

    fn address(&mut self) -> String {
        let quarter = self.prng.pick(names::QUARTERS);
        let (block, lot, house) = (
            self.prng.between(1, 6),
            self.prng.between(1, 30),
            self.prng.between(1, 20),
        );
        let building = self.prng.pick(names::BUILDINGS);
        let room = if building.is_empty() {
            String::new()
        } else {
            format!("　{building}{}", self.prng.between(101, 812))
        };
        format!(
            "{}{quarter}{block}丁目{lot}番{house}号{room}",
            self.plan.municipality.name()
        )
    }

    /// One to five doses in order, far enough apart, while the programme ran: nothing here is a dose that a rule holds back.
    fn doses(&mut self, birth: Date) -> Vec<SampleDose> {
        let wanted = self.prng.pick(&[1_usize, 2, 2, 3, 3, 3, 4, 4, 5, 5]);
        let voucher = format!("{:010}", self.prng.between(1_000_000_000, 9_999_999_999));
        let (maker, lot_prefix) = self.prng.pick(names::MAKERS);
        let mut date = forward(PROGRAMME.0.max(birth), self.prng.between(0, 120));
        let mut doses = Vec::with_capacity(wanted);
        for number in 0..wanted {
            if date > PROGRAMME.1 {
                break;
            }
            doses.push(self.dose(date, &voucher, maker, lot_prefix));
            date = forward(
                date,
                if number == 0 {
                    self.prng.between(21, 42)
                } else {
                    self.prng.between(150, 210)
                },
            );
        }
        doses
    }

    fn dose(&mut self, date: Date, voucher: &str, maker: &str, lot_prefix: &str) -> SampleDose {
        let registered = forward(date, self.prng.between(0, 5));
        let time = format!(
            "{:02}{:02}{:02}",
            self.prng.between(9, 17),
            self.prng.below(60),
            self.prng.below(60)
        );
        let (doctor, _) = self.prng.pick(names::FAMILY);
        let (doctor_given, _) = self.prng.pick(names::GIVEN_MALE);
        SampleDose {
            registered_at: format!("{}{time}", compact(registered)),
            date,
            voucher: voucher.to_owned(),
            place: self.plan.municipality.to_string(),
            venue: self.prng.pick(names::VENUES).to_owned(),
            doctor: format!("{doctor}　{doctor_given}"),
            maker: maker.to_owned(),
            lot: format!("{lot_prefix}{:04}", self.prng.between(1, 9_999)),
        }
    }
}

impl Iterator for Sample {
    type Item = SamplePerson;

    fn next(&mut self) -> Option<SamplePerson> {
        let kind = self.kinds.next()?;
        Some(self.person(kind))
    }
}

/// `YYYYMMDD`, as the ledger writes dates.
pub(crate) fn compact(date: Date) -> String {
    format!("{:04}{:02}{:02}", date.year(), date.month(), date.day())
}

/// Shares of a real town (two movers in five would be many: a test wants movers), with the minimums that tests count on.
fn kinds(residents: usize) -> Result<Vec<Kind>, Failure> {
    let smallest = 4 * AT_LEAST;
    if residents < smallest {
        return Err(Failure::Usage(format!(
            "--residents は {smallest} 以上にしてください / --residents must be at least {smallest}"
        )));
    }
    let doseless = (residents / 20).max(AT_LEAST);
    let protected = (residents / 50).max(AT_LEAST);
    let room = residents - doseless - protected - AT_LEAST;
    let provided = (residents * 2 / 5).max(AT_LEAST_PROVIDED).min(room);
    let resident = residents - doseless - protected - provided;
    let mut kinds = Vec::with_capacity(residents);
    for (kind, count) in [
        (Kind::Provided, provided),
        (Kind::Doseless, doseless),
        (Kind::Protected, protected),
        (Kind::Resident, resident),
    ] {
        kinds.extend(std::iter::repeat_n(kind, count));
    }
    Ok(kinds)
}

fn back(date: Date, days: u64) -> Date {
    date.saturating_sub(i64::try_from(days).unwrap_or(0).days())
}

fn forward(date: Date, days: u64) -> Date {
    date.saturating_add(i64::try_from(days).unwrap_or(0).days())
}

#[cfg(test)]
mod tests {
    use super::{Date, Kind, Plan, Sample, SamplePerson};

    pub(super) fn plan(residents: usize) -> Plan {
        Plan {
            seed: 42,
            residents,
            entered: 20,
            first_addressee: 1_000_001,
            municipality: "142051".parse().unwrap(),
            today: jiff::civil::date(2026, 4, 1),
        }
    }

    fn all(residents: usize) -> Vec<SamplePerson> {
        Sample::new(plan(residents)).unwrap().collect()
    }

    fn count(persons: &[SamplePerson], kind: Kind) -> usize {
        persons.iter().filter(|person| person.kind == kind).count()
    }

    #[test]
    fn the_same_seed_makes_the_same_residents() {
        assert_eq!(format!("{:?}", all(200)), format!("{:?}", all(200)));
        let other: Vec<SamplePerson> = Sample::new(Plan {
            seed: 43,
            ..plan(200)
        })
        .unwrap()
        .collect();
        assert_ne!(format!("{:?}", all(200)), format!("{other:?}"));
    }

    #[test]
    fn addressee_numbers_begin_where_they_are_told_to() {
        let from = |first_addressee| {
            let plan = Plan {
                first_addressee,
                ..plan(40)
            };
            Sample::new(plan).map(|sample| {
                sample
                    .map(|person| person.addressee_number)
                    .collect::<Vec<_>>()
            })
        };
        let (first, second) = (from(1).unwrap(), from(61).unwrap());
        assert_eq!((&*first[0], &*first[59]), ("0000000001", "0000000060"));
        assert_eq!(second[0], "0000000061");
        assert!(from(9_999_999_940).is_ok());
        assert!(from(9_999_999_941).is_err());
    }

    #[test]
    fn every_kind_has_its_minimum() {
        for residents in [40, 560, 2_000] {
            let persons = all(residents);
            assert_eq!(persons.len(), residents + 20);
            for kind in [
                Kind::Provided,
                Kind::Doseless,
                Kind::Protected,
                Kind::Resident,
                Kind::Entered,
            ] {
                assert!(count(&persons, kind) >= 10, "{kind:?} of {residents}");
            }
        }
        assert!(count(&all(560), Kind::Provided) >= 500);
    }

    #[test]
    fn a_plan_too_small_or_too_early_is_refused() {
        assert!(Sample::new(plan(39)).is_err());
        assert!(
            Sample::new(Plan {
                today: jiff::civil::date(2024, 7, 31),
                ..plan(100)
            })
            .is_err()
        );
    }

    #[test]
    fn dates_are_sane_relative_to_the_given_day() {
        let today: Date = plan(0).today;
        for person in all(1_000) {
            assert!(person.birth_date <= person.became_resident.unwrap());
            assert!(
                person
                    .ceased_resident
                    .is_none_or(|date| date < today && Some(date) > person.became_resident)
            );
            assert_eq!(
                person.ceased_resident.is_none(),
                person.kind == Kind::Resident
            );
            assert_eq!(person.doses.is_empty(), person.kind == Kind::Doseless);
            assert_eq!(
                person.protected_from.is_some(),
                person.kind == Kind::Protected
            );
            for dose in &person.doses {
                assert!(dose.date > person.birth_date && dose.date < today);
                assert!(person.ceased_resident.is_none_or(|date| dose.date < date));
            }
            assert!(
                person
                    .doses
                    .windows(2)
                    .all(|pair| pair.first().map(|d| d.date) < pair.last().map(|d| d.date))
            );
        }
    }
}
