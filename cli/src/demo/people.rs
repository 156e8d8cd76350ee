//! Who lives in the demo: the provider's residents, those of them who moved, and one whom the provider never knew.

use std::path::{Path, PathBuf};

use super::{Args, FUJISAWA, description::Person, town::Town};
use crate::{
    clock,
    encoding::Encoding,
    failure::Failure,
    sample::{
        Kind, Plan, Sample, SamplePerson,
        files::{self, SampleFiles},
    },
};

/// Movers whose rows the new municipality gets, at most.
const MOVERS: usize = 1_000;

/// The invented people of the demo.
pub(super) struct Samples {
    /// The provider's residents and doses.
    pub(super) fujisawa: SampleFiles,
    /// The requester's new residents.
    pub(super) yokohama: PathBuf,
    /// All of the provider's, for `demo.json`.
    pub(super) persons: Vec<Person>,
    /// Those who moved, as the requester's register has them.
    pub(super) movers: Vec<SamplePerson>,
    /// One who moved to the requester from elsewhere.
    pub(super) stranger: SamplePerson,
}

impl Samples {
    /// Invents everybody and writes their files below `dir`.
    pub(super) fn make(
        args: &Args,
        dir: &Path,
        fujisawa: &Town,
        yokohama: &Town,
    ) -> Result<Self, Failure> {
        let plan = Plan {
            seed: args.seed,
            residents: args.residents,
            entered: 20,
            first_addressee: 1_000_001,
            municipality: fujisawa.municipality,
            today: clock::today(),
        };
        let mut persons = Vec::new();
        let mut movers = Vec::new();
        let folder = dir.join("samples");
        let files = files::write(
            Sample::new(plan.clone())?,
            &folder,
            Encoding::Cp932,
            |person| {
                persons.push(Person {
                    municipality_code: FUJISAWA.to_owned(),
                    individual_number: person.individual_number.clone(),
                    doses: person.doses.len(),
                    kind: person.kind,
                });
                if person.ceased_resident.is_some()
                    && person.kind != Kind::Entered
                    && movers.len() < MOVERS
                {
                    movers.push(moved(person, yokohama, movers.len()));
                }
            },
        )?;
        // Somebody who moved to Yokohama from elsewhere: Fujisawa has never heard of this number.
        let known = |number: &str| {
            persons
                .iter()
                .any(|person| person.individual_number == number)
        };
        let stranger = Sample::new(Plan {
            seed: args.seed.wrapping_add(1),
            residents: 40,
            ..plan
        })?
        .find(|person| person.kind == Kind::Provided && !known(&person.individual_number))
        .map(|person| moved(&person, yokohama, movers.len()))
        .ok_or_else(|| Failure::NotDone("見本を作れません / no sample".to_owned()))?;
        let rows = movers.iter().chain(std::iter::once(&stranger));
        let yokohama =
            files::write_persons(rows, folder.join("yokohama-persons.csv"), Encoding::Cp932)?;
        Ok(Self {
            fujisawa: files,
            yokohama,
            persons,
            movers,
            stranger,
        })
    }
}

/// The same person in the new municipality's register.
fn moved(person: &SamplePerson, to: &Town, serial: usize) -> SamplePerson {
    SamplePerson {
        addressee_number: format!("{:010}", 7_000_000 + serial),
        address: format!(
            "{}本町{}丁目{}番地",
            to.name(),
            serial % 6 + 1,
            serial % 90 + 1
        ),
        became_resident: person.ceased_resident,
        ceased_resident: None,
        doses: Vec::new(),
        ..person.clone()
    }
}
