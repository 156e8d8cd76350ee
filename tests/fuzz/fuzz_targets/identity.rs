//! Certificates and SPIFFE ids as strangers send them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vrx_domain::SpiffeId;

fuzz_target!(|data: &[u8]| {
    let _ = SpiffeId::from_certificate_der(data);
    let _ = vrx_domain::spki_der(data);
    if let Ok(text) = std::str::from_utf8(data)
        && let Ok(id) = SpiffeId::parse(text)
    {
        assert_eq!(id.to_string(), text);
    }
});
