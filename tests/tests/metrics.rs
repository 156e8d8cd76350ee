//! What an operator's scraper sees of the real program: sizes, times, health; no resident, and nothing that tells *nothing* from *found*.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

use std::time::Duration;

use tokio::time::Instant;
use vrx_testkit::postgres::TestDatabase;
use vrx_tests::demo::{Demo, FUJISAWA, On, YOKOHAMA, wait_until};
use vrx_tests::exchange::{individual_number, query, request, spellings, told};
use vrx_tests::metrics::Scrape;
use vrx_tests::on_both_databases;
use vrx_tests::process::Process;

const ANSWERED: &str = "vrx_exchange_answers_total{class=\"answered\"}";

on_both_databases! {
    a_scrape_shows_sizes_and_health_and_holds_no_number,
    nothing_and_found_are_counted_as_one,
}

fn of_tenant(name: &str) -> String {
    format!("{name}{{municipality=\"{FUJISAWA}\"}}")
}

/// Fujisawa's own process, with metrics.
async fn scraped(demo: &Demo) -> (Process, String) {
    let mut process = Process::take_over(demo, FUJISAWA).await.unwrap();
    let metrics = process.with_metrics().unwrap();
    process.start(demo).await.unwrap();
    (process, metrics)
}

async fn a_scrape_shows_sizes_and_health_and_holds_no_number(on: On) {
    let demo = Demo::start_on(500, on).unwrap();
    let (process, metrics) = scraped(&demo).await;
    let channel = demo
        .channel_at(process.address(), FUJISAWA, YOKOHAMA, "exchange")
        .unwrap();
    let numbers = [
        demo.numbers("provided")[0].clone(),
        demo.numbers("protected")[0].clone(),
        individual_number(31_415_926_535),
    ];
    let before = Scrape::of(&metrics).await.unwrap();
    for number in &numbers {
        told(query(&channel, request(number)).await.unwrap()).unwrap();
        let mut wrong = request(number);
        wrong.operator_ref.clone_from(number);
        query(&channel, wrong).await.unwrap_err();
    }
    let scrape = Scrape::of(&metrics).await.unwrap();
    let text = scrape.text();
    let grew = |series: &str| scrape.value(series).unwrap() - before.value(series).unwrap();
    assert!(grew(&of_tenant("vrx_log_size")) >= 3.0, "{text}");
    assert!(grew(&of_tenant("vrx_log_entries_total")) >= 3.0, "{text}");
    assert!(grew(&of_tenant("vrx_log_batches_total")) >= 3.0, "{text}");
    assert!(
        (grew("vrx_exchange_answers_total{class=\"refused\"}") - 3.0).abs() < 0.1,
        "{text}"
    );
    for (series, value) in [
        ("vrx_ready".to_owned(), 1.0),
        (of_tenant("vrx_tenant_ready"), 1.0),
        (of_tenant("vrx_log_poisoned"), 0.0),
        (of_tenant("vrx_log_epoch"), 1.0),
        (
            "vrx_exchange_answers_total{class=\"failed\"}".to_owned(),
            0.0,
        ),
    ] {
        assert_eq!(scrape.value(&series), Some(value), "{series}: {text}");
    }
    for there in [
        "process_resident_memory_bytes",
        "vrx_connections_open",
        "vrx_tls_handshakes_failed_total",
        &of_tenant("vrx_log_checkpoint_age_seconds"),
        &of_tenant("vrx_log_kept_size"),
        &of_tenant("vrx_lookup_queue"),
        &of_tenant("vrx_lookup_queue_limit"),
        &format!("vrx_log_queue{{municipality=\"{FUJISAWA}\",queue=\"exchange\"}}"),
        &format!("vrx_key_seals{{municipality=\"{FUJISAWA}\",key=\"log\"}}"),
    ] {
        assert!(scrape.value(there).is_some(), "{there}: {text}");
    }
    match on {
        On::Sqlite => {
            let bytes = scrape.value(&of_tenant("vrx_database_bytes"));
            assert!(bytes.is_some_and(|bytes| bytes > 10_000.0), "{text}");
        }
        On::Postgres => {
            let open = "vrx_postgres_connections{cluster=\"default\",state=\"open\"}";
            assert!(scrape.value(open).is_some_and(|open| open >= 1.0), "{text}");
            let commits =
                "vrx_postgres_statement_seconds_count{cluster=\"default\",statement=\"commit\"}";
            assert!(grew(commits) >= 3.0, "{text}");
        }
    }
    for number in &numbers {
        for (spelling, bytes) in spellings(number) {
            let found = text
                .as_bytes()
                .windows(bytes.len())
                .any(|part| part == bytes);
            assert!(!found, "a number as {spelling}: {text}");
        }
    }
    let longest = text
        .split(|c: char| !c.is_ascii_digit())
        .map(str::len)
        .max();
    assert!(longest < Some(12), "twelve digits: {text}");
}

async fn nothing_and_found_are_counted_as_one(on: On) {
    let demo = Demo::start_on(500, on).unwrap();
    let (process, metrics) = scraped(&demo).await;
    let channel = demo
        .channel_at(process.address(), FUJISAWA, YOKOHAMA, "exchange")
        .unwrap();
    let mut scrapes = Vec::new();
    for number in [
        demo.numbers("provided")[0].clone(),
        demo.numbers("protected")[0].clone(),
        individual_number(31_415_926_535),
    ] {
        let before = Scrape::of(&metrics).await.unwrap().value(ANSWERED).unwrap();
        told(query(&channel, request(&number)).await.unwrap()).unwrap();
        let after = Scrape::of(&metrics).await.unwrap();
        assert!((after.value(ANSWERED).unwrap() - before - 1.0).abs() < 0.1);
        scrapes.push(after);
    }
    // The series are the same ones, whatever was found.
    let series = |scrape: &Scrape| {
        let lines = scrape.text().lines();
        let names = lines.filter_map(|line| Some(line.rsplit_once(' ')?.0.to_owned()));
        names.collect::<Vec<_>>()
    };
    // All of the first scrape's statements have run: what comes after adds none.
    assert_eq!(series(&scrapes[1]), series(&scrapes[2]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_statement_shows_by_its_name() {
    let demo = Demo::start_on(500, On::Postgres).unwrap();
    let mut process = Process::take_over(&demo, FUJISAWA).await.unwrap();
    let metrics = process.with_metrics().unwrap();
    process
        .configure(|config| {
            let limits = toml::Table::from_iter([("slow_ms".to_owned(), 100.into())]);
            config.insert("postgres".to_owned(), limits.into());
        })
        .unwrap();
    process.start(&demo).await.unwrap();
    let channel = demo
        .channel_at(process.address(), FUJISAWA, YOKOHAMA, "exchange")
        .unwrap();
    let number = demo.numbers("provided")[0].clone();
    let series =
        "vrx_postgres_slow_statements_total{cluster=\"default\",statement=\"log_head_held\"}";
    let server = demo.server().unwrap().clone();
    let database = demo_database(&demo);
    let deadline = Instant::now() + Duration::from_mins(1);
    // Somebody else holds the head for a while; a batch that comes meanwhile waits for it.
    while Scrape::of(&metrics).await.unwrap().value(series) < Some(1.0) {
        assert!(Instant::now() < deadline, "no statement was slow");
        let (server, database) = (server.clone(), database.clone());
        let holding = tokio::task::spawn_blocking(move || {
            let hold =
                "BEGIN; SELECT size FROM vrx.log_head FOR UPDATE; SELECT pg_sleep(0.6); COMMIT";
            server.sql(&database, hold)
        });
        while !holding.is_finished() {
            told(query(&channel, request(&number)).await.unwrap()).unwrap();
        }
        holding.await.unwrap();
    }
    let said = process.said().unwrap();
    assert!(
        said.contains("a slow statement") && said.contains("log_head_held"),
        "{said}"
    );
}

/// The database of Fujisawa's node.
fn demo_database(demo: &Demo) -> String {
    let config = std::fs::read_to_string(&demo.node(FUJISAWA).unwrap().config).unwrap();
    let config: toml::Table = config.parse().unwrap();
    let url = config["database"].as_str().unwrap();
    let path = url.split('?').next().unwrap();
    path.rsplit('/').next().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_on_an_address_that_others_reach_are_a_bad_configuration() {
    let demo = Demo::shared().unwrap();
    let mut process = Process::beside(&demo, FUJISAWA, "open").unwrap();
    process
        .configure(|config| {
            config.insert("metrics".to_owned(), "0.0.0.0:9464".into());
        })
        .unwrap();
    let ended = process.start_and_end(&demo).await.unwrap();
    let said = process.said().unwrap();
    assert_eq!(ended.code(), Some(64), "{said}");
    assert!(
        said.contains("metrics") && said.contains("127.0.0.1:9464"),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_process_shows_the_others_entries_and_its_own_trouble() {
    let database = TestDatabase::fresh();
    let url = database
        .server()
        .plain_url(vrx_testkit::postgres::DEMO, database.name());
    let demo = Demo::start_at(500, &url).unwrap();
    let mut idle = Process::beside(&demo, FUJISAWA, "idle").unwrap();
    let metrics = idle.with_metrics().unwrap();
    idle.start(&demo).await.unwrap();
    let before = Scrape::of(&metrics).await.unwrap();
    let channel = demo.channel(FUJISAWA, YOKOHAMA, "exchange").unwrap();
    for number in demo.numbers("provided").iter().take(5) {
        told(query(&channel, request(number)).await.unwrap()).unwrap();
    }
    let size = before.value(&of_tenant("vrx_log_size")).unwrap() + 5.0;
    reaches(&metrics, &of_tenant("vrx_log_size"), size).await;
    let own = of_tenant("vrx_log_entries_total");
    let scrape = Scrape::of(&metrics).await.unwrap();
    assert_eq!(scrape.value(&own), before.value(&own), "the idle one wrote");

    let name = demo_database(&demo);
    database
        .server()
        .sql(&name, "UPDATE vrx.log_head SET epoch = 2");
    reaches(&metrics, &of_tenant("vrx_log_poisoned"), 1.0).await;
    reaches(&metrics, &of_tenant("vrx_tenant_ready"), 0.0).await;
    reaches(&metrics, "vrx_ready", 0.0).await;
    wait_until(Duration::from_secs(10), "it says why", || {
        Ok(idle.said()?.contains("another epoch"))
    })
    .await
    .unwrap();
}

async fn reaches(metrics: &str, series: &str, value: f64) {
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let scrape = Scrape::of(metrics).await.unwrap();
        if scrape.value(series) == Some(value) {
            return;
        }
        assert!(
            Instant::now() < deadline,
            "{series} isn't {value}: {}",
            scrape.text()
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
