//! One message in, one message out, over HTTP/2, with trailers of our own.
//!
//! tonic's unary calls can't put anything into the trailers of an OK, and answer an undecodable message with INTERNAL. The
//! frame is five bytes and a message; writing it here also lets the buffers be wiped.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, Bytes};
use http::{HeaderMap, HeaderValue, Response, header};
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use prost::Message;
use tokio::sync::OwnedSemaphorePermit;
use tonic::Status;
use vrx_services::ServiceError;
use zeroize::{Zeroize, Zeroizing};

/// Length of a frame's head: one byte of flags, four of length.
const HEAD: usize = 5;

/// What a response carries: our own single message, or what a tonic server made.
pub(crate) enum ReplyBody {
    /// A message and its trailers.
    Unary {
        data: Option<Bytes>,
        trailers: Option<HeaderMap>,
    },
    /// Anything a generated server answers; a stream keeps its caller's place to its end.
    Tonic {
        body: tonic::body::Body,
        _place: Option<OwnedSemaphorePermit>,
    },
}

impl Default for ReplyBody {
    fn default() -> Self {
        ReplyBody::Unary {
            data: None,
            trailers: None,
        }
    }
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        match self.get_mut() {
            ReplyBody::Unary { data, trailers } => Poll::Ready(
                data.take()
                    .map(Frame::data)
                    .or_else(|| trailers.take().map(Frame::trailers))
                    .map(Ok),
            ),
            ReplyBody::Tonic { body, .. } => Pin::new(body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            ReplyBody::Unary { data, trailers } => data.is_none() && trailers.is_none(),
            ReplyBody::Tonic { body, .. } => body.is_end_stream(),
        }
    }
}

/// Reads the one message of a call. All that was read is wiped, as far as the buffer is ours alone.
pub(crate) async fn read<M, B>(mut body: B, longest: usize) -> Result<M, ServiceError>
where
    M: Message + Default,
    B: Body<Data = Bytes> + Unpin,
{
    let mut read = Zeroizing::new(Vec::new());
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else {
            return malformed("broke off");
        };
        let Ok(mut data) = frame.into_data() else {
            continue;
        };
        if read.len() + data.remaining() > HEAD + longest {
            return malformed("is longer than a request can be");
        }
        if read.capacity() == 0 {
            read.reserve_exact(stated(data.chunk()).unwrap_or(longest).min(longest) + HEAD);
        }
        while data.has_remaining() {
            let chunk = data.chunk();
            read.extend_from_slice(chunk);
            let length = chunk.len();
            data.advance(length);
        }
    }
    message(&read)
}

/// An OK with one message; `trailers` stand beside `grpc-status` at its end.
pub(crate) fn reply(message: &impl Message, mut trailers: HeaderMap) -> Response<ReplyBody> {
    let length = message.encoded_len();
    let mut frame = Zeroizing::new(Vec::with_capacity(HEAD + length));
    frame.push(0);
    // No answer comes near four gigabytes; one that did would be refused by the length it states.
    frame.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
    message.encode_raw(&mut *frame);
    trailers.insert("grpc-status", HeaderValue::from_static("0"));

    // The owner is dropped, and so wiped, when the last byte is on its way.
    let mut response = Response::new(ReplyBody::Unary {
        data: Some(Bytes::from_owner(frame)),
        trailers: Some(trailers),
    });
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/grpc"),
    );
    response
}

/// How long the caller waits, from the header `grpc-timeout`; none when it doesn't say or says nonsense.
pub(crate) fn timeout(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let amount: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(amount * 3600)),
        "M" => Some(Duration::from_secs(amount * 60)),
        "S" => Some(Duration::from_secs(amount)),
        "m" => Some(Duration::from_millis(amount)),
        "u" => Some(Duration::from_micros(amount)),
        "n" => Some(Duration::from_nanos(amount)),
        _ => None,
    }
}

/// The length that the frame's head states. Room is made for it at once: growing would leave copies behind that nobody wipes.
fn stated(first: &[u8]) -> Option<usize> {
    let [_, length @ ..] = *first.first_chunk::<HEAD>()?;
    usize::try_from(u32::from_be_bytes(length)).ok()
}

fn message<M: Message + Default>(read: &[u8]) -> Result<M, ServiceError> {
    let Some((head, rest)) = read.split_first_chunk::<HEAD>() else {
        return malformed("is missing");
    };
    let [flags, length @ ..] = *head;
    if flags != 0 {
        return malformed("is compressed; nothing is compressed here");
    }
    if usize::try_from(u32::from_be_bytes(length)) != Ok(rest.len()) {
        return malformed("isn't exactly one message");
    }
    M::decode(rest).or_else(|_| malformed("can't be decoded"))
}

fn malformed<T>(why: &'static str) -> Result<T, ServiceError> {
    Err(ServiceError::InvalidArgument {
        field: "request",
        why,
    })
}

/// Wipes what a message held once it is encoded.
pub(crate) fn wipe(texts: &mut [&mut Vec<u8>]) {
    for text in texts {
        text.zeroize();
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::Full;
    use vrx_proto::v1;

    use super::*;

    fn framed(message: &[u8]) -> Vec<u8> {
        let mut frame = vec![0];
        frame.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
        frame.extend(message);
        frame
    }

    async fn read_bytes(bytes: Vec<u8>) -> Result<v1::Date, ServiceError> {
        read(Full::new(Bytes::from(bytes)), 64).await
    }

    #[tokio::test]
    async fn exactly_one_message_is_read() {
        let date = v1::Date {
            year: 2026,
            month: 4,
            day: 1,
        };
        let one = framed(&date.encode_to_vec());
        assert_eq!(read_bytes(one.clone()).await, Ok(date));
        assert_eq!(read_bytes(framed(&[])).await, Ok(v1::Date::default()));

        let two = [one.clone(), one.clone()].concat();
        let mut compressed = one.clone();
        compressed[0] = 1;
        let short = one[..one.len() - 1].to_vec();
        for bad in [
            two,
            compressed,
            short,
            vec![],
            vec![0, 0],
            framed(&[0xff]),
            framed(&[0; 65]),
        ] {
            let refused = read_bytes(bad).await;
            assert!(matches!(
                refused,
                Err(ServiceError::InvalidArgument {
                    field: "request",
                    ..
                })
            ));
        }
    }

    #[tokio::test]
    async fn an_empty_reply_is_five_zero_bytes_and_trailers() {
        let mut trailers = HeaderMap::new();
        trailers.insert("vrx-outcome", HeaderValue::from_static("nothing"));
        let response = reply(&v1::QueryRecordsResponse::default(), trailers);
        let collected = response.into_body().collect().await.unwrap();
        let sent = collected.trailers().unwrap().clone();
        assert_eq!(sent["grpc-status"], "0");
        assert_eq!(sent["vrx-outcome"], "nothing");
        assert_eq!(collected.to_bytes().as_ref(), [0; 5]);
    }

    #[test]
    fn a_timeout_is_understood_in_every_unit() {
        let of = |text: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert("grpc-timeout", HeaderValue::from_static(text));
            timeout(&headers)
        };
        assert_eq!(of("1H"), Some(Duration::from_hours(1)));
        assert_eq!(of("2M"), Some(Duration::from_mins(2)));
        assert_eq!(of("3S"), Some(Duration::from_secs(3)));
        assert_eq!(of("100m"), Some(Duration::from_millis(100)));
        assert_eq!(of("7u"), Some(Duration::from_micros(7)));
        assert_eq!(of("99999999n"), Some(Duration::from_nanos(99_999_999)));
        for nonsense in ["", "S", "1", "1s", "-1S", "123456789S", "1 S"] {
            assert_eq!(of(nonsense), None, "{nonsense}");
        }
    }
}
