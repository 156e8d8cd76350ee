//! Messages of the exchange: decoded bytes are encoded back to a message that decodes the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use prost::Message;
use vrx_proto::v1::{Answer, Nothing, QueryRecordsBatchItem, QueryRecordsRequest, QueryRecordsResponse, Receipt};

fn again<M: Message + Default + PartialEq>(data: &[u8]) {
    if let Ok(message) = M::decode(data) {
        assert!(M::decode(message.encode_to_vec().as_slice()).is_ok_and(|same| same == message));
    }
}

fuzz_target!(|data: &[u8]| {
    again::<Answer>(data);
    again::<Nothing>(data);
    again::<Receipt>(data);
    again::<QueryRecordsRequest>(data);
    again::<QueryRecordsResponse>(data);
    again::<QueryRecordsBatchItem>(data);
});
