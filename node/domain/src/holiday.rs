//! 休日: the days on which a municipal office is closed.
//!
//! Saturdays, Sundays, the national holidays (国民の祝日に関する法律, as it stands since 2022) and 29 December to 3 January (年末年始). The
//! equinoxes follow the usual formula, good from 1980 to 2099; the official day is announced each February and may in theory differ.

use crate::Date;

/// Days of every year: month and day.
const FIXED: &[(u32, u32)] = &[
    (1, 1),   // 元日
    (2, 11),  // 建国記念の日
    (2, 23),  // 天皇誕生日
    (4, 29),  // 昭和の日
    (5, 3),   // 憲法記念日
    (5, 4),   // みどりの日
    (5, 5),   // こどもの日
    (8, 11),  // 山の日
    (11, 3),  // 文化の日
    (11, 23), // 勤労感謝の日
];
/// The how-manieth Monday of a month.
const MONDAYS: &[(u32, u32)] = &[
    (1, 2),  // 成人の日
    (7, 3),  // 海の日
    (9, 3),  // 敬老の日
    (10, 2), // スポーツの日
];

impl Date {
    /// Whether a municipal office is closed on this day in Japan.
    pub fn is_day_off(self) -> bool {
        let new_year = matches!((self.month(), self.day()), (12, 29..) | (1, ..=3));
        self.weekday() >= 6 || new_year || self.is_national_holiday()
    }

    /// 国民の祝日, 振替休日 and 国民の休日.
    fn is_national_holiday(self) -> bool {
        self.is_named_holiday() || self.is_substitute() || self.is_between()
    }

    fn is_named_holiday(self) -> bool {
        let (month, day) = (self.month(), self.day());
        FIXED.contains(&(month, day))
            || (self.weekday() == 1 && MONDAYS.contains(&(month, day.div_ceil(7))))
            || (month == 3 && day == equinox(self.year(), 20_843_100))
            || (month == 9 && day == equinox(self.year(), 23_248_800))
    }

    /// 振替休日: the first day after a holiday on a Sunday that is no holiday itself.
    fn is_substitute(self) -> bool {
        let mut day = self;
        while let Some(before) = day.days_later(-1) {
            if !before.is_named_holiday() {
                return false;
            }
            if before.weekday() == 7 {
                return !self.is_named_holiday();
            }
            day = before;
        }
        false
    }

    /// 国民の休日: a day between two holidays.
    fn is_between(self) -> bool {
        let named = |days| self.days_later(days).is_some_and(Self::is_named_holiday);
        named(-1) && named(1)
    }
}

/// Day of the month of an equinox; `millionths` is that of 1980 in millionths of a day.
fn equinox(year: u32, millionths: u32) -> u32 {
    let years = year.saturating_sub(1980);
    (millionths + 242_194 * years) / 1_000_000 - years / 4
}

#[cfg(test)]
mod tests {
    use super::*;

    fn off(text: &str) -> bool {
        text.parse::<Date>().unwrap().is_day_off()
    }

    #[test]
    fn the_national_holidays_of_2026_and_2027_are_those_of_the_cabinet_office() {
        let announced = [
            "2026-01-01",
            "2026-01-12",
            "2026-02-11",
            "2026-02-23",
            "2026-03-20",
            "2026-04-29",
            "2026-05-03",
            "2026-05-04",
            "2026-05-05",
            "2026-05-06",
            "2026-07-20",
            "2026-08-11",
            "2026-09-21",
            "2026-09-22",
            "2026-09-23",
            "2026-10-12",
            "2026-11-03",
            "2026-11-23",
            "2027-01-01",
            "2027-01-11",
            "2027-02-11",
            "2027-02-23",
            "2027-03-21",
            "2027-03-22",
            "2027-04-29",
            "2027-05-03",
            "2027-05-04",
            "2027-05-05",
            "2027-07-19",
            "2027-08-11",
            "2027-09-20",
            "2027-09-23",
            "2027-10-11",
            "2027-11-03",
            "2027-11-23",
        ];
        let mut day: Date = "2026-01-01".parse().unwrap();
        let mut found = Vec::new();
        while day.year() < 2028 {
            if day.is_national_holiday() {
                found.push(day.to_string());
            }
            day = day.days_later(1).unwrap();
        }
        assert_eq!(found, announced);
    }

    #[test]
    fn weekends_and_the_turn_of_the_year_are_off_and_workdays_are_not() {
        for day in [
            "2026-11-21",
            "2026-11-22",
            "2026-12-29",
            "2027-01-02",
            "2028-12-30",
        ] {
            assert!(off(day), "{day}");
        }
        for day in ["2026-11-20", "2026-11-24", "2026-12-28", "2027-01-04"] {
            assert!(!off(day), "{day}");
        }
    }
}
