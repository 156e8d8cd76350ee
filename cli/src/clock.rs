//! The program's one clock. Everything below the command line takes the time as a parameter.

use jiff::{Timestamp, civil::Date, tz::TimeZone};
use prost_types::Timestamp as WireTimestamp;

/// The time in Japan, whatever the machine's own zone says.
fn japan() -> TimeZone {
    TimeZone::get("Asia/Tokyo").unwrap_or_else(|_| TimeZone::fixed(jiff::tz::offset(9)))
}

/// Now.
pub(crate) fn now() -> Timestamp {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place where this program asks the machine for the time"
    )]
    Timestamp::now()
}

/// Today in Japan.
pub(crate) fn today() -> Date {
    now().to_zoned(japan()).date()
}

/// A moment that a person typed: `now`, RFC 3339, or a time in Japan such as `2026-04-01T09:30`.
pub(crate) fn parse_moment(text: &str) -> Result<Timestamp, String> {
    if text == "now" {
        return Ok(now());
    }
    if let Ok(moment) = text.parse::<Timestamp>() {
        return Ok(moment);
    }
    text.parse::<jiff::civil::DateTime>()
        .ok()
        .and_then(|moment| moment.to_zoned(japan()).ok())
        .map(|zoned| zoned.timestamp())
        .ok_or_else(|| {
            "now, 2026-04-01T09:30 (日本時間) または 2026-04-01T09:30:00+09:00".to_owned()
        })
}

/// A calendar date that a person typed.
pub(crate) fn parse_date(text: &str) -> Result<Date, String> {
    text.parse()
        .map_err(|_| "2026-04-01 の形の実在する日付 / a real date like 2026-04-01".to_owned())
}

/// For the wire.
pub(crate) fn to_wire(moment: Timestamp) -> WireTimestamp {
    WireTimestamp {
        seconds: moment.as_second(),
        nanos: moment.subsec_nanosecond().max(0),
    }
}

/// A date for the wire.
pub(crate) fn date_to_wire(date: Date) -> vrx_proto::v1::Date {
    vrx_proto::v1::Date {
        year: u32::try_from(date.year()).unwrap_or(0),
        month: u32::try_from(date.month()).unwrap_or(0),
        day: u32::try_from(date.day()).unwrap_or(0),
    }
}

/// `2026-04-01 09:30:00` in Japan; empty when there is none.
pub(crate) fn show(moment: Option<&WireTimestamp>) -> String {
    shown(moment, "%Y-%m-%d %H:%M:%S")
}

/// The same of the decimal milliseconds since 1970 that stand in entries; empty for a number that no calendar has.
pub(crate) fn show_moment(millis: i64) -> String {
    Timestamp::from_millisecond(millis)
        .map_or_else(|_| String::new(), |moment| show(Some(&to_wire(moment))))
}

/// The same of a moment.
pub(crate) fn show_time(moment: Timestamp) -> String {
    show(Some(&to_wire(moment)))
}

/// The time in Japan; the earliest there is when there is none.
pub(crate) fn civil(moment: Option<&WireTimestamp>) -> jiff::civil::DateTime {
    moment
        .and_then(|moment| Timestamp::new(moment.seconds, moment.nanos).ok())
        .map(|moment| moment.to_zoned(japan()).datetime())
        .unwrap_or_default()
}

/// RFC 3339 with Japan's offset; empty when there is none.
pub(crate) fn show_rfc3339(moment: Option<&WireTimestamp>) -> String {
    shown(moment, "%Y-%m-%dT%H:%M:%S%.3f%:z")
}

/// The same of milliseconds since 1970; a number of them that no calendar has stands as it is.
pub(crate) fn show_millis(millis: u64) -> String {
    i64::try_from(millis)
        .ok()
        .and_then(|millis| Timestamp::from_millisecond(millis).ok())
        .map_or_else(
            || format!("{millis} ms"),
            |moment| {
                let zoned = moment.to_zoned(japan());
                zoned.strftime("%Y-%m-%dT%H:%M:%S%.3f%:z").to_string()
            },
        )
}

fn shown(moment: Option<&WireTimestamp>, format: &str) -> String {
    moment
        .and_then(|moment| Timestamp::new(moment.seconds, moment.nanos).ok())
        .map(|moment| moment.to_zoned(japan()).strftime(format).to_string())
        .unwrap_or_default()
}

/// `2026-04-01`; empty when there is none.
pub(crate) fn show_date(date: Option<&vrx_proto::v1::Date>) -> String {
    date.map(|date| format!("{:04}-{:02}-{:02}", date.year, date.month, date.day))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{parse_date, parse_moment, show, show_rfc3339, to_wire};

    #[test]
    fn a_moment_without_a_zone_is_japans() {
        let plain = parse_moment("2026-04-01T09:30").unwrap();
        assert_eq!(plain, parse_moment("2026-04-01T09:30:00+09:00").unwrap());
        assert_eq!(show(Some(&to_wire(plain))), "2026-04-01 09:30:00");
        assert_eq!(
            show_rfc3339(Some(&to_wire(plain))),
            "2026-04-01T09:30:00.000+09:00"
        );
        assert!(parse_moment("soon").is_err());
    }

    #[test]
    fn a_date_that_no_calendar_has_is_refused() {
        assert!(parse_date("2026-02-30").is_err());
        assert!(parse_date("2026-02-28").is_ok());
    }
}
