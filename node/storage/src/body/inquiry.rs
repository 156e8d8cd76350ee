//! `inquiry.body`: what the services keep, behind what the row says in the clear.

use vrx_domain::UnixMillis;
use zeroize::Zeroizing;

use super::{Malformed, Reader, Writer};

/// version u32 | expires at u64 | the services' bytes
pub(crate) fn encode_inquiry(
    version: u32,
    expires_at: UnixMillis,
    body: &[u8],
) -> Zeroizing<Vec<u8>> {
    let mut out = Writer::new();
    out.u32(version);
    out.u64(expires_at.0);
    out.raw(body);
    out.finish()
}

/// The services' bytes, if the row's version and expiry are the ones that were sealed.
pub(crate) fn decode_inquiry(
    version: u32,
    expires_at: UnixMillis,
    bytes: &[u8],
) -> Result<Zeroizing<Vec<u8>>, Malformed> {
    let mut body = Reader::new(bytes);
    if body.u32()? != version || body.u64()? != expires_at.0 {
        return Err(Malformed);
    }
    Ok(Zeroizing::new(body.rest().to_vec()))
}
