//! The codec of one outgoing call: prost, but the request's number is wiped as soon as it is encoded.

use prost::Message;
use tonic::Status;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use vrx_proto::v1::{QueryRecordsRequest, QueryRecordsResponse};
use zeroize::Zeroize;

/// Encodes requests, decodes responses.
#[derive(Clone, Copy)]
pub(super) struct QueryCodec;

impl Codec for QueryCodec {
    type Encode = QueryRecordsRequest;
    type Decode = QueryRecordsResponse;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        *self
    }

    fn decoder(&mut self) -> Self {
        *self
    }
}

impl Encoder for QueryCodec {
    type Item = QueryRecordsRequest;
    type Error = Status;

    fn encode(
        &mut self,
        mut request: QueryRecordsRequest,
        buffer: &mut EncodeBuf<'_>,
    ) -> Result<(), Status> {
        let encoded = request.encode(buffer);
        request.individual_number.zeroize();
        encoded.map_err(|_| Status::internal("the request doesn't fit its buffer"))
    }
}

impl Decoder for QueryCodec {
    type Item = QueryRecordsResponse;
    type Error = Status;

    fn decode(
        &mut self,
        buffer: &mut DecodeBuf<'_>,
    ) -> Result<Option<QueryRecordsResponse>, Status> {
        QueryRecordsResponse::decode(buffer)
            .map(Some)
            .map_err(|_| Status::internal("the response can't be decoded"))
    }
}
