//! The node under test: a demo's node of Fujisawa, to which Kamakura is added as an operator would.

use std::path::{Path, PathBuf};

use serde_json::Value;
use tonic::transport::Channel;
use vrx_certs_dev::spec::server_name;
use vrx_certs_dev::{Federation, IdentitySpec, IssuedCert};
use vrx_tests::demo::{Demo, FUJISAWA, On, YOKOHAMA};
use vrx_tests::desk::{self, Ended};
use vrx_tests::process::Process;
use vrx_tests::tls::{self, PemFiles};

/// The second municipality of the node.
pub(crate) const KAMAKURA: &str = "142042";

/// The first line of a file of residents.
pub(crate) const PERSONS: &str = "個人番号,宛名番号,漢字氏名,カナ氏名,生年月日,性別,住所,住民となった日,住民でなくなった日,支援措置開始日,支援措置終了日";

/// The node, and who works in Kamakura.
pub(crate) struct House {
    pub(crate) demo: Demo,
    pub(crate) process: Process,
    exchange: IssuedCert,
    pub(crate) log_vkey: String,
    /// Kamakura's people, by their role.
    people: Vec<(&'static str, IssuedCert)>,
}

impl House {
    /// Takes Fujisawa's node and its database over and adds Kamakura to both.
    pub(crate) async fn build() -> Self {
        let mut demo = Demo::start_on(500, On::Postgres).unwrap();
        let mut process = Process::take_over(&demo, FUJISAWA).await.unwrap();
        let federation = Federation::open(demo.folder().join("certs")).unwrap();
        let mut node = IdentitySpec::node(KAMAKURA);
        node.dns_names = vec![server_name(KAMAKURA)];
        let exchange = federation.issue(&node).unwrap();
        let file = demo.node(FUJISAWA).unwrap().config.clone();
        let owner = add_tenant(&file, &exchange, &federation.tenant_ca(KAMAKURA).unwrap());
        let (exit, _, errors) = demo
            .vrx_node(FUJISAWA, &["init", "--owner", &owner])
            .unwrap();
        assert_eq!(exit, 0, "{errors}");
        let (exit, key, errors) = demo
            .vrx_node(FUJISAWA, &["log", "key", "--tenant", KAMAKURA])
            .unwrap();
        assert_eq!(exit, 0, "{errors}");
        let log_vkey = key.trim().to_owned();
        add_member(&demo, &exchange, &log_vkey);
        process.start(&demo).await.unwrap();
        // It reads there too that Kamakura is a member.
        demo.signal(YOKOHAMA, "TERM").unwrap();
        demo.wait_ended(YOKOHAMA).await.unwrap();
        demo.restart(YOKOHAMA).await.unwrap();
        let mut house = Self {
            demo,
            process,
            exchange,
            log_vkey,
            people: Vec::new(),
        };
        for (role, name) in [("staff", "a"), ("staff", "b"), ("officer", "c")] {
            let spec = IdentitySpec::new(KAMAKURA, role).name(name);
            let issued = federation.issue(&spec).unwrap();
            house.write_profile(role, name, &issued);
            house.people.push((role, issued));
        }
        house
    }

    fn write_profile(&self, role: &str, name: &str, issued: &IssuedCert) {
        let mut profile = toml::Table::new();
        for (key, value) in [
            ("address", self.process.address().to_owned()),
            ("municipality_code", KAMAKURA.to_owned()),
            ("server_name", server_name(KAMAKURA)),
            ("ca", self.demo.description.ca_cert.display().to_string()),
            ("cert", issued.cert_path.display().to_string()),
            ("key", issued.key_path.display().to_string()),
            ("log_vkey", self.log_vkey.clone()),
        ] {
            profile.insert(key.to_owned(), value.into());
        }
        let file = self.profile(&format!("{KAMAKURA}-{role}-{name}"));
        std::fs::write(file, toml::to_string(&profile).unwrap()).unwrap();
    }

    fn profile(&self, name: &str) -> PathBuf {
        self.demo.folder().join(format!("profiles/{name}.toml"))
    }

    /// Runs `vrx --json` as somebody.
    pub(crate) fn vrx(&self, profile: &str, arguments: &[&str], input: &str) -> Ended {
        desk::vrx(&self.demo, profile, arguments, input).unwrap()
    }

    pub(crate) fn json(&self, profile: &str, arguments: &[&str], input: &str) -> Value {
        self.vrx(profile, arguments, input).done().unwrap()
    }

    /// Enters one resident without doses; gives the import's id.
    pub(crate) fn enter(&self, profile: &str, number: &str, addressee: &str) -> String {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("persons.csv");
        let row = format!(
            "{number},{addressee},髙橋　試,タカハシ　タメス,19800101,9,本町1番地,20200101,,,"
        );
        std::fs::write(&file, format!("{PERSONS}\r\n{row}\r\n")).unwrap();
        let entered = self.json(profile, &["import", "persons", file.to_str().unwrap()], "");
        entered["import_id"].as_str().unwrap().to_owned()
    }

    pub(crate) fn identity(&self, code: &str, role: &str) -> PemFiles {
        if code != KAMAKURA {
            return self.demo.identity(code, role).unwrap();
        }
        let own = self.people.iter().find(|person| person.0 == role);
        let issued = own.map_or(&self.exchange, |person| &person.1);
        PemFiles {
            cert: issued.cert_path.clone(),
            key: issued.key_path.clone(),
            ca: self.demo.description.ca_cert.clone(),
        }
    }

    /// A caller's way to one of the two: Yokohama's or Kamakura's certificate.
    pub(crate) fn channel(&self, to: &str, from: &str) -> Channel {
        let files = self.identity(from, "exchange");
        tls::channel(&files, self.process.address(), &server_name(to)).unwrap()
    }
}

/// Makes a node's configuration one of two tenants; gives the address of the database's owner.
fn add_tenant(file: &Path, exchange: &IssuedCert, ca: &Path) -> String {
    let mut config: toml::Table = std::fs::read_to_string(file).unwrap().parse().unwrap();
    let owner = config["database"]
        .as_str()
        .unwrap()
        .replace("_node@", "_owner@");
    let tls = config["tls"].as_table_mut().unwrap();
    let (certificate, key) = (
        tls.remove("certificate").unwrap(),
        tls.remove("private_key").unwrap(),
    );
    let tenants = config["tenant"].as_array_mut().unwrap();
    let first = tenants[0].as_table_mut().unwrap();
    first.insert("certificate".to_owned(), certificate);
    first.insert("private_key".to_owned(), key);
    let mut second = toml::Table::new();
    second.insert("code".to_owned(), KAMAKURA.into());
    for (name, path) in [
        ("ca", ca),
        ("certificate", &exchange.cert_path),
        ("private_key", &exchange.key_path),
    ] {
        second.insert(name.to_owned(), path.display().to_string().into());
    }
    tenants.push(second.into());
    std::fs::write(file, toml::to_string(&config).unwrap()).unwrap();
    owner
}

fn add_member(demo: &Demo, exchange: &IssuedCert, log_vkey: &str) {
    let file = demo.folder().join("members.toml");
    let mut members: toml::Table = std::fs::read_to_string(&file).unwrap().parse().unwrap();
    let list = members["member"].as_array_mut().unwrap();
    let mut member = list[0].as_table().unwrap().clone();
    let address = demo.node(FUJISAWA).unwrap().address.clone();
    for (name, value) in [
        ("code", KAMAKURA.into()),
        ("name", "神奈川県鎌倉市".into()),
        ("address", address.into()),
        ("server_name", server_name(KAMAKURA).into()),
        ("pins", vec![hex::encode(exchange.spki_sha256)].into()),
        ("log_vkey", log_vkey.into()),
    ] {
        member.insert(name.to_owned(), value);
    }
    list.push(member.into());
    std::fs::write(&file, toml::to_string(&members).unwrap()).unwrap();
}
