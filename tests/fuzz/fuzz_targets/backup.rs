//! A backup's stream of rows, as somebody who can write to the backups may have changed it before it was encrypted again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vrx_domain::Tenant;
use vrx_storage::copy::{Next, StreamReader, StreamWriter};

fuzz_target!(|data: &[u8]| {
    // Whose it is takes luck to guess: the rest is tried behind a right beginning too.
    read(data);
    let tenant = Tenant {
        id: vrx_domain::TenantId::from_bytes([1; 16]),
        code: "142051".parse().expect("a municipality"),
    };
    let writer = StreamWriter::begin(Vec::new(), &tenant).expect("memory");
    let (mut stream, _) = writer.end().expect("memory");
    stream.truncate(29);
    stream.extend_from_slice(data);
    read(&stream);
});

fn read(bytes: &[u8]) {
    let Ok(mut reader) = StreamReader::begin(bytes) else {
        return;
    };
    let mut writer = StreamWriter::begin(Vec::new(), &reader.tenant()).expect("memory");
    while let Ok(next) = reader.next() {
        match next {
            Next::Rows(table, rows) => {
                assert!(rows.iter().all(|row| row.fits(table)));
                writer.rows(table, &rows).expect("what was read can be written");
            }
            Next::End(counts) => {
                assert_eq!(writer.end().expect("memory").1, counts);
                return;
            }
        }
    }
}
