//! Calendar days, instants, and the two things a rule may not fetch by itself: the time and randomness.

use std::fmt;
use std::str::FromStr;

use jiff::tz::Offset;
use jiff::{Timestamp, civil};

/// Japan has had no summer time since 1951: nine hours ahead of UTC all year.
const JST: Offset = Offset::constant(9);

/// Where the time comes from. A parameter everywhere, so that tests decide it.
pub trait Clock: Send + Sync {
    /// The instant now.
    fn now(&self) -> UnixMillis;

    /// Nanoseconds since some fixed point; never goes backwards. For durations only.
    fn monotonic_nanos(&self) -> u64;

    /// The calendar day in Japan.
    fn today(&self) -> Date {
        self.now().date_jst()
    }
}

/// Where randomness comes from. Infallible: an implementation ends the process when the system has no entropy.
pub trait Random: Send + Sync {
    /// Fills the bytes with randomness fit for keys.
    fn fill(&self, bytes: &mut [u8]);
}

/// An instant: milliseconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixMillis(pub u64);

impl UnixMillis {
    /// From seconds and nanoseconds, as a protobuf `Timestamp` has them; `None` before 1970, after the year 9999, or with nanoseconds out of range.
    pub fn from_secs_nanos(secs: i64, nanos: i32) -> Option<Self> {
        if !(0..1_000_000_000).contains(&nanos) {
            return None;
        }
        let millis = u64::try_from(secs)
            .ok()?
            .checked_mul(1000)?
            .checked_add(u64::try_from(nanos / 1_000_000).ok()?)?;
        (millis <= Self::latest()).then_some(Self(millis))
    }

    /// Seconds and nanoseconds, as a protobuf `Timestamp` has them.
    pub fn to_secs_nanos(self) -> (i64, i32) {
        let secs = i64::try_from(self.0 / 1000).unwrap_or(i64::MAX);
        let nanos = i32::try_from(self.0 % 1000 * 1_000_000).unwrap_or(0);
        (secs, nanos)
    }

    /// RFC 3339 in Japanese time with milliseconds, e.g. `2026-11-23T19:34:37.120+09:00`.
    pub fn to_rfc3339_jst(self) -> String {
        let at = self.civil_jst();
        let millis = at.subsec_nanosecond() / 1_000_000;
        format!(
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{millis:03}+09:00",
            at.year(),
            at.month(),
            at.day(),
            at.hour(),
            at.minute(),
            at.second()
        )
    }

    /// Reads what [`Self::to_rfc3339_jst`] writes, and no other form.
    pub fn from_rfc3339_jst(text: &str) -> Option<Self> {
        let (day, time) = text.strip_suffix("+09:00")?.split_once('T')?;
        let day: Date = day.parse().ok()?;
        let (clock, millis) = time.split_once('.')?;
        let mut seconds = 0;
        for part in clock.split(':') {
            let part: u64 = part.parse::<u8>().ok()?.into();
            seconds = part.checked_add(u64::checked_mul(seconds, 60)?)?;
        }
        let into_day = seconds
            .checked_mul(1000)?
            .checked_add(millis.parse::<u16>().ok()?.into())?;
        let at = Self(day.begins_jst().0.checked_add(into_day)?);
        (at.to_rfc3339_jst() == text).then_some(at)
    }

    /// The calendar day in Japan at this instant.
    pub fn date_jst(self) -> Date {
        Date(self.civil_jst().date())
    }

    /// The hour of the day in Japan, 0 to 23.
    pub fn hour_jst(self) -> u8 {
        u8::try_from(self.civil_jst().hour()).unwrap_or(0)
    }

    fn civil_jst(self) -> civil::DateTime {
        // Beyond the last instant that has a civil form the last one stands in: such a value comes only from a broken clock.
        let millis = i64::try_from(self.0.min(Self::latest())).unwrap_or(i64::MAX);
        JST.to_datetime(Timestamp::from_millisecond(millis).unwrap_or(Timestamp::MAX))
    }

    fn latest() -> u64 {
        u64::try_from(Timestamp::MAX.as_millisecond()).unwrap_or(u64::MAX)
    }
}

/// A day of the real calendar, 1868-01-01 (明治元年) to 9999-12-31; shown as `YYYY-MM-DD`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Date(civil::Date);

/// Why something isn't a [`Date`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DateError {
    /// Not the digits and hyphens of the expected form.
    #[error("a date is written YYYY-MM-DD or YYYYMMDD")]
    Format,
    /// No such day: month 13, 30 February, 29 February of a common year.
    #[error("the calendar has no such day")]
    NoSuchDay,
    /// Before 1868 or after 9999.
    #[error("the year is before 1868 or after 9999")]
    Year,
}

impl Date {
    /// The day of a year, a month (1 to 12) and a day of the month.
    pub fn from_ymd(year: u32, month: u32, day: u32) -> Result<Self, DateError> {
        if !(1868..=9999).contains(&year) {
            return Err(DateError::Year);
        }
        let small = |part: u32| i8::try_from(part).map_err(|_| DateError::NoSuchDay);
        let year = i16::try_from(year).map_err(|_| DateError::Year)?;
        civil::Date::new(year, small(month)?, small(day)?)
            .map(Self)
            .map_err(|_| DateError::NoSuchDay)
    }

    /// Parses `YYYYMMDD`.
    pub fn parse_compact(text: &str) -> Result<Self, DateError> {
        if text.len() != 8 {
            return Err(DateError::Format);
        }
        Self::from_ymd(
            digits(text.get(..4))?,
            digits(text.get(4..6))?,
            digits(text.get(6..))?,
        )
    }

    /// `YYYYMMDD`.
    pub fn to_compact(self) -> String {
        format!(
            "{:04}{:02}{:02}",
            self.0.year(),
            self.0.month(),
            self.0.day()
        )
    }

    /// The year.
    pub fn year(self) -> u32 {
        u32::try_from(self.0.year()).unwrap_or(0)
    }

    /// The month, 1 to 12.
    pub fn month(self) -> u32 {
        u32::try_from(self.0.month()).unwrap_or(0)
    }

    /// The day of the month, 1 to 31.
    pub fn day(self) -> u32 {
        u32::try_from(self.0.day()).unwrap_or(0)
    }

    /// The day of the week, from 1 (Monday) to 7 (Sunday).
    pub fn weekday(self) -> u32 {
        u32::try_from(self.0.weekday().to_monday_one_offset()).unwrap_or(1)
    }

    /// The day so many days later, or earlier; `None` outside the years that a date can have.
    pub fn days_later(self, days: i32) -> Option<Self> {
        let day = self.0.checked_add(jiff::Span::new().days(days)).ok()?;
        (1868..=9999).contains(&day.year()).then_some(Self(day))
    }

    /// The instant at which the day begins in Japan; 1970 for every day before.
    pub fn begins_jst(self) -> UnixMillis {
        let midnight = self.0.to_datetime(civil::Time::midnight());
        let millis = JST.to_timestamp(midnight).map(Timestamp::as_millisecond);
        UnixMillis(
            millis
                .ok()
                .and_then(|at| u64::try_from(at).ok())
                .unwrap_or(0),
        )
    }

    /// The same day so many years later; of 29 February in a common year the day before. `None` beyond the year 9999.
    pub fn plus_years(self, years: u32) -> Option<Self> {
        let years = jiff::Span::new().try_years(years).ok()?;
        self.0.checked_add(years).ok().map(Self)
    }

    /// So many days later. `None` beyond the year 9999.
    pub fn plus_days(self, days: u32) -> Option<Self> {
        let days = jiff::Span::new().try_days(days).ok()?;
        self.0.checked_add(days).ok().map(Self)
    }

    /// Days from the other date to this one; negative when this one is earlier.
    pub fn days_since(self, earlier: Self) -> i64 {
        (self
            .0
            .to_datetime(civil::Time::midnight())
            .duration_since(earlier.0.to_datetime(civil::Time::midnight())))
        .as_hours()
            / 24
    }
}

impl FromStr for Date {
    type Err = DateError;

    /// Parses `YYYY-MM-DD`.
    fn from_str(text: &str) -> Result<Self, DateError> {
        let bytes = text.as_bytes();
        if bytes.len() != 10 || bytes.get(4) != Some(&b'-') || bytes.get(7) != Some(&b'-') {
            return Err(DateError::Format);
        }
        Self::from_ymd(
            digits(text.get(..4))?,
            digits(text.get(5..7))?,
            digits(text.get(8..))?,
        )
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:04}-{:02}-{:02}",
            self.0.year(),
            self.0.month(),
            self.0.day()
        )
    }
}

impl fmt::Debug for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Date({self})")
    }
}

/// ASCII digits alone: `str::parse` would take a plus sign. `None` is a cut through a character.
fn digits(text: Option<&str>) -> Result<u32, DateError> {
    let text = text
        .filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))
        .ok_or(DateError::Format)?;
    text.parse().map_err(|_| DateError::Format)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_real_days_exist() {
        for text in [
            "2024-02-29",
            "2000-02-29",
            "1868-01-01",
            "9999-12-31",
            "2021-04-30",
        ] {
            assert_eq!(text.parse::<Date>().unwrap().to_string(), text);
        }
        for text in [
            "2023-02-29",
            "1900-02-29",
            "2021-04-31",
            "2021-13-01",
            "2021-00-10",
            "2021-01-00",
            "2021-01-32",
        ] {
            assert_eq!(text.parse::<Date>(), Err(DateError::NoSuchDay));
        }
        for text in ["1867-12-31", "0000-01-01"] {
            assert_eq!(text.parse::<Date>(), Err(DateError::Year));
        }
    }

    #[test]
    fn other_forms_are_refused() {
        for text in [
            "",
            "2021/04/30",
            "2021-4-30",
            "20210430",
            "+021-04-30",
            "２０２１",
            "2021-04-30 ",
            "2021-0４0",
            "あ21-04-30",
        ] {
            assert_eq!(text.parse::<Date>(), Err(DateError::Format), "{text}");
        }
        for text in [
            "",
            "2021-04-3",
            "2021043",
            "202104300",
            "2021 430",
            "+2210430",
            "あい21",
        ] {
            assert_eq!(Date::parse_compact(text), Err(DateError::Format), "{text}");
        }
    }

    #[test]
    fn days_are_counted_and_begin_at_midnight_in_japan() {
        let day: Date = "2026-11-23".parse().unwrap();
        assert_eq!(
            (day.weekday(), day.days_later(-1).unwrap().weekday()),
            (1, 7)
        );
        assert_eq!(day.days_later(9).unwrap().to_string(), "2026-12-02");
        assert_eq!("9999-12-31".parse::<Date>().unwrap().days_later(1), None);
        let begins = day.begins_jst();
        assert_eq!(begins.to_rfc3339_jst(), "2026-11-23T00:00:00.000+09:00");
        assert_eq!((begins.hour_jst(), begins.date_jst()), (0, day));
        assert_eq!(UnixMillis(begins.0 - 1).hour_jst(), 23);
        assert_eq!(
            "1900-01-01".parse::<Date>().unwrap().begins_jst(),
            UnixMillis(0)
        );
    }

    #[test]
    fn numbers_beyond_every_calendar_are_refused() {
        assert_eq!(Date::from_ymd(u32::MAX, 1, 1), Err(DateError::Year));
        assert_eq!(Date::from_ymd(2021, u32::MAX, 1), Err(DateError::NoSuchDay));
        assert_eq!(Date::from_ymd(2021, 1, 200), Err(DateError::NoSuchDay));
    }

    #[test]
    fn an_evening_in_utc_is_the_next_day_in_japan() {
        let at = UnixMillis::from_secs_nanos(1_619_794_800, 120_999_999).unwrap();
        assert_eq!(at.to_rfc3339_jst(), "2021-05-01T00:00:00.120+09:00");
        assert_eq!(at.date_jst().to_string(), "2021-05-01");
        assert_eq!(at.to_secs_nanos(), (1_619_794_800, 120_000_000));
        assert_eq!(UnixMillis(at.0 - 121).date_jst().to_string(), "2021-04-30");
    }

    #[test]
    fn instants_outside_the_range_are_refused_and_a_broken_clock_does_not_panic() {
        assert_eq!(UnixMillis::from_secs_nanos(-1, 0), None);
        assert_eq!(UnixMillis::from_secs_nanos(0, 1_000_000_000), None);
        assert_eq!(UnixMillis::from_secs_nanos(0, -1), None);
        assert_eq!(UnixMillis::from_secs_nanos(i64::MAX, 0), None);
        assert_eq!(UnixMillis(u64::MAX).date_jst().year(), 9999);
        assert!(!UnixMillis(u64::MAX).to_rfc3339_jst().is_empty());
    }

    proptest! {
        #[test]
        fn days_round_trip_in_both_forms(year in 1868_u32..=9999, month in 1_u32..=12, day in 1_u32..=31) {
            // The calendar, said independently of the library.
            let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            let length = [31, if leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31][month as usize - 1];
            let date = Date::from_ymd(year, month, day);
            prop_assert_eq!(date.is_ok(), day <= length);
            if let Ok(date) = date {
                prop_assert_eq!((date.year(), date.month(), date.day()), (year, month, day));
                prop_assert_eq!(date.to_string().parse(), Ok(date));
                prop_assert_eq!(Date::parse_compact(&date.to_compact()), Ok(date));
            }
        }

        #[test]
        fn no_text_makes_a_parser_panic(text in ".*") {
            let _ = text.parse::<Date>();
            let _ = Date::parse_compact(&text);
        }
    }

    #[test]
    fn an_instant_is_read_in_the_form_in_which_it_is_written_and_in_no_other() {
        for at in [86_400_000, 1_619_794_800_120, 1_893_423_600_000] {
            let at = UnixMillis(at);
            assert_eq!(UnixMillis::from_rfc3339_jst(&at.to_rfc3339_jst()), Some(at));
        }
        for other in [
            "",
            "2021-05-01T00:00:00.120Z",
            "2021-05-01T00:00:60.120+09:00",
            "2021-05-01T0:00:00.120+09:00",
            "2021-05-01T00:00:00:00:00:00:00:00:00:00:00:00:00.120+09:00",
            "2021-05-01 00:00:00.120+09:00",
        ] {
            assert_eq!(UnixMillis::from_rfc3339_jst(other), None, "{other}");
        }
    }
}
