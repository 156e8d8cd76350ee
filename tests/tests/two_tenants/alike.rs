//! What belongs to the other tenant is asked for like what nobody has: in the same words and in the same time.

use vrx_certs_dev::spec::server_name;
use vrx_proto::v1::audit_service_client::AuditServiceClient;
use vrx_proto::v1::registry_service_client::RegistryServiceClient;
use vrx_proto::v1::{
    GetCheckpointRequest, InquireMunicipalityResponse, InquiryOutcome, ListEntriesRequest,
    ListImportsRequest,
};
use vrx_testkit::Turns;
use vrx_tests::demo::{FUJISAWA, YOKOHAMA};
use vrx_tests::exchange::{individual_number, query, request, unknown_numbers};
use vrx_tests::tls;

use crate::NOBODYS;
use crate::calls::{self, About, Callers};
use crate::house::{House, KAMAKURA};

/// Pairs of calls whose times are compared.
const PAIRS: usize = 100;
/// A place in a log that nobody's reaches.
const FAR: u64 = 1_000_000;

/// Who asks, and whose things are asked about.
const WAYS: [(&str, &str); 2] = [(KAMAKURA, FUJISAWA), (FUJISAWA, KAMAKURA)];

/// The other tenant's name instead of the own is answered like that of a municipality that isn't here, in every call.
pub(crate) async fn nobody_acts_for_the_other(house: &House) {
    for (own, claimed) in WAYS {
        for name in [own, claimed] {
            let callers = callers(house, own, name, own);
            for call in calls::all() {
                let (refused, not_here) = (
                    calls::claim(&callers, &call, claimed).await,
                    calls::claim(&callers, &call, "011002").await,
                );
                assert!(refused.is_refused(), "{call}: {own} acts for {claimed}");
                assert_eq!(refused, not_here, "{call}: {own} as {claimed} by {name}");
                if name == own {
                    let turns = Turns::take(
                        PAIRS,
                        async |_| drop(calls::claim(&callers, &call, claimed).await),
                        async |_| drop(calls::claim(&callers, &call, "011002").await),
                    );
                    turns
                        .await
                        .assert_alike(&format!("{call} of {own} as {claimed}"));
                }
            }
        }
    }
}

/// Somebody's resident is nobody here, from the first question after a start on, whoever asks.
pub(crate) async fn residents_of_the_other_are_unknown(house: &House) {
    let call = "ExchangeService/QueryRecords";
    let persons = &house.demo.description.persons;
    let numbers: Vec<String> = persons
        .iter()
        .map(|person| person.individual_number.clone())
        .collect();
    let unknown = unknown_numbers(numbers.len(), &numbers);
    let about = |number: &String| About {
        number: number.clone(),
        ..About::default()
    };
    for (round, caller) in [YOKOHAMA, FUJISAWA, YOKOHAMA, FUJISAWA].iter().enumerate() {
        // Each asks for some that nobody has asked for, and then again for the same.
        let from = (round % 2) * PAIRS;
        let callers = callers(house, KAMAKURA, KAMAKURA, caller);
        let turns = Turns::take(
            PAIRS,
            async |nth| {
                drop(calls::make(&callers, call, KAMAKURA, &about(&numbers[from + nth])).await);
            },
            async |nth| {
                drop(calls::make(&callers, call, KAMAKURA, &about(&unknown[from + nth])).await);
            },
        );
        turns
            .await
            .assert_alike(&format!("{call} of {caller}, round {round}"));
    }
}

/// Every call about something of the other tenant, and about what nobody has.
pub(crate) async fn what_the_other_has_is_nobodys(house: &House) {
    let both = [
        Things::of(house, FUJISAWA).await,
        Things::of(house, KAMAKURA).await,
    ];
    for (own, other) in WAYS {
        let things = both.iter().find(|things| things.owner == other).unwrap();
        let callers = callers(house, own, own, YOKOHAMA);
        for call in calls::all() {
            if calls::ABOUT_NOTHING.contains(&call.as_str()) {
                continue;
            }
            let (theirs, nobodys) = things.about(house, own, &call).await;
            for _ in 0..2 {
                assert_eq!(
                    calls::make(&callers, &call, own, &theirs).await,
                    calls::make(&callers, &call, own, &nobodys).await,
                    "{call} of {own}"
                );
            }
            let turns = Turns::take(
                PAIRS,
                async |_| drop(calls::make(&callers, &call, own, &theirs).await),
                async |_| drop(calls::make(&callers, &call, own, &nobodys).await),
            );
            turns.await.assert_alike(&format!("{call} of {own}"));
        }
    }
}

/// How the tests above fail: five milliseconds more are seen.
pub(crate) async fn five_milliseconds_more_are_seen(house: &House) {
    let callers = callers(house, KAMAKURA, KAMAKURA, YOKOHAMA);
    let call = "ExchangeService/QueryRecords";
    let about = About {
        number: unknown_numbers(1, &[])[0].clone(),
        ..About::default()
    };
    let turns = Turns::until_told_apart(
        20 * PAIRS,
        async |_| drop(calls::make(&callers, call, KAMAKURA, &about).await),
        async |_| {
            drop(calls::make(&callers, call, KAMAKURA, &about).await);
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        },
    );
    let turns = turns.await;
    assert!(turns.tell_apart() && turns.share() < 0.5, "{turns:?}");
}

/// The ways in of a tenant's people, by a tenant's name, and of the node of a municipality.
fn callers(house: &House, own: &str, name: &str, exchange: &str) -> Callers {
    let channel = |code, role| {
        let identity = house.identity(code, role);
        tls::channel(&identity, house.process.address(), &server_name(name)).unwrap()
    };
    Callers {
        exchange: channel(exchange, "exchange"),
        staff: channel(own, "staff"),
        officer: channel(own, "officer"),
    }
}

/// What a tenant alone has.
struct Things {
    owner: &'static str,
    number: String,
    addressee: &'static str,
    import: String,
    inquiry: InquireMunicipalityResponse,
}

impl Things {
    async fn of(house: &House, owner: &'static str) -> Self {
        let (profile, addressee, eleven) = match owner {
            FUJISAWA => ("142051-staff-tanaka", "F-1", 31_415_926_535),
            _ => ("142042-staff-a", "K-1", 31_415_926_536),
        };
        let number = individual_number(eleven);
        // Two, so that there is a second page.
        house.enter(profile, &number, addressee);
        let import = house.enter(profile, &individual_number(eleven + 10), "X-1");
        let inquiry = inquire(house, owner).await;
        assert!(!inquiry.inquiry_id.is_empty(), "{}", inquiry.reason);
        Self {
            owner,
            number,
            addressee,
            import,
            inquiry,
        }
    }

    /// What a call of `own` names: what is this tenant's, and what is nobody's.
    async fn about(&self, house: &House, own: &str, call: &str) -> (About, About) {
        let theirs = About {
            number: self.number.clone(),
            addressee: self.addressee.to_owned(),
            import: self.import.clone(),
            inquiry: self.inquiry.inquiry_id.clone(),
            log_origin: log_of(house, YOKOHAMA),
            ..About::default()
        };
        let mut nobodys = About {
            number: individual_number(27_182_818_299),
            addressee: "N-1".to_owned(),
            import: NOBODYS.to_owned(),
            inquiry: NOBODYS.to_owned(),
            index: FAR,
            ..theirs.clone()
        };
        let mut theirs = theirs;
        match call {
            "AuditService/GetEntry" | "AuditService/ReadEntryStory" => {
                theirs.index = self.longer_than(house, own).await;
            }
            // About the person alone: both name the own log's first entry.
            "AuditService/MarkEntry" => nobodys.index = theirs.index,
            "ReceiptService/ListReceipts" => {
                // The newest entry of Yokohama's log: the receipt of it is this tenant's.
                theirs.index = inquire(house, self.owner).await.provider_log_index;
            }
            "AuditService/ListEntries" | "RegistryService/ListImports" => {
                theirs.page_token = self.page_token(house, call).await;
                nobodys.page_token = crumpled(&theirs.page_token);
            }
            "ReconciliationService/ListProvisions" | "ReconciliationService/ReportDifferences" => {
                theirs.log_origin = log_of(house, self.owner);
                nobodys.log_origin = log_of(house, "011002");
            }
            _ => {}
        }
        (theirs, nobodys)
    }

    /// The last place in its log, which is longer than the log of `own` will be while this is asked about.
    async fn longer_than(&self, house: &House, own: &str) -> u64 {
        let enough = size(house, own).await + 2 * PAIRS as u64;
        let channel = house.channel(self.owner, YOKOHAMA);
        while size(house, self.owner).await <= enough {
            for _ in 0..50 {
                let mut asked = request(&self.number);
                asked.municipality_code = self.owner.to_owned();
                query(&channel, asked).await.unwrap();
            }
        }
        enough
    }

    async fn page_token(&self, house: &House, call: &str) -> String {
        let callers = callers(house, self.owner, self.owner, YOKOHAMA);
        let municipality_code = self.owner.to_owned();
        let token = if call == "AuditService/ListEntries" {
            let asked = ListEntriesRequest {
                municipality_code,
                page_size: 1,
                ..ListEntriesRequest::default()
            };
            let mut audit = AuditServiceClient::new(callers.officer);
            let page = audit.list_entries(asked);
            page.await.unwrap().into_inner().next_page_token
        } else {
            let asked = ListImportsRequest {
                municipality_code,
                page_size: 1,
                ..ListImportsRequest::default()
            };
            let mut registry = RegistryServiceClient::new(callers.staff);
            let page = registry.list_imports(asked);
            page.await.unwrap().into_inner().next_page_token
        };
        assert!(!token.is_empty());
        token
    }
}

/// The name of a municipality's log.
fn log_of(house: &House, code: &str) -> String {
    let domain = &house.demo.description.trust_domain;
    format!("{domain}/municipality/{code}/log/1")
}

/// An inquiry to Yokohama about somebody it doesn't know.
async fn inquire(house: &House, owner: &str) -> InquireMunicipalityResponse {
    let callers = callers(house, owner, owner, YOKOHAMA);
    let number = individual_number(16_180_339_887);
    let asked = calls::inquiry(owner.to_owned(), YOKOHAMA, &number);
    let mut registry = RegistryServiceClient::new(callers.staff);
    let answer = registry.inquire_municipality(asked);
    let answer = answer.await.unwrap().into_inner();
    assert_eq!(
        answer.outcome(),
        InquiryOutcome::Nothing,
        "{}",
        answer.reason
    );
    answer
}

/// Entries of a tenant's log.
async fn size(house: &House, owner: &str) -> u64 {
    let callers = callers(house, owner, owner, YOKOHAMA);
    let municipality_code = owner.to_owned();
    let asked = GetCheckpointRequest {
        municipality_code,
        witnessed: false,
    };
    let mut audit = AuditServiceClient::new(callers.officer);
    let answer = audit.get_checkpoint(asked);
    let note = answer.await.unwrap().into_inner().checkpoint;
    note.lines().nth(1).unwrap().parse().unwrap()
}

/// A token of the same length that nobody was given.
fn crumpled(token: &str) -> String {
    let half = token.len() / 2;
    let turned: String = token[half..].chars().rev().collect();
    format!("{}{turned}", &token[..half])
}
